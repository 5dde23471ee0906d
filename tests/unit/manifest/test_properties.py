"""What holds for any text and any values."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.manifest.loading import load_text, load_texts
from reconciler.manifest.schema import manifest_schema
from reconciler.manifest.source import pure_events
from reconciler.manifest.tree import plain
from reconciler.model.errors import ManifestError

GUIDE = (Path(__file__).parents[3] / "examples" / "01-external-postgres" / "manifest.yaml").read_text(encoding="utf-8")


def known_keys(schema: Any) -> set[str]:
    """Every key that the schema of a manifest names."""
    if isinstance(schema, list):
        return set().union(*map(known_keys, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})).union(*map(known_keys, schema.values()))


SECTIONS = sorted(set(manifest_schema()["properties"]) - {"version", "name"})
KEYS = sorted(known_keys(manifest_schema()))
YAMLISH = st.text(st.sampled_from(list("abkv:{}[],-?&*!|>'\"%@#\n \t0123456789.~<=\\/éü\u2028\x00")), max_size=60)
WORDS = st.sampled_from(["allow", "read", "env", "kv", "1s", "/a", "a", "mesh", "service-intentions", "tables"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


def load_or_refuse(*texts: str, **options: Any) -> None:
    """Load; nothing but a ManifestError with one printable line for each diagnostic may come of it."""
    try:
        load_texts([(f"{i}.yaml", text) for i, text in enumerate(texts)], Path("/nowhere"), **options)
    except ManifestError as error:
        said, number = str(error), len(error.diagnostics)
    else:
        return
    said.encode("utf-8")
    assert len(said.split("\n")) == number > 0


@settings(deadline=None)
@given(st.text())
def test_any_text_is_loaded_or_refused(text):
    load_or_refuse(text)


@settings(deadline=None)
@given(YAMLISH)
def test_any_text_that_resembles_yaml_is_loaded_or_refused(text):
    load_or_refuse("version: 1\nname: x\nkv: " + text)
    load_or_refuse(text, parsers=[pure_events])


@settings(deadline=None)
@given(st.sampled_from(SECTIONS), VALUES)
def test_any_values_are_loaded_or_refused(section, value):
    for inside in (value, {"a": value}, {"a": {"b": value}}, [value]):
        load_or_refuse(json.dumps({"version": 1, "name": "x", section: inside}))


@settings(deadline=None)
@given(st.sampled_from(SECTIONS), VALUES, VALUES)
def test_any_overlay_is_merged_or_refused(section, base, overlay):
    load_or_refuse(json.dumps({"version": 1, "name": "x", section: base}), json.dumps({section: overlay}))


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(k, shuffled(v, order)) for k, v in value.items()]
        order.shuffle(items)
        return dict(items)
    return [shuffled(v, order) for v in value] if isinstance(value, list) else value


@settings(deadline=None, max_examples=30)
@given(st.randoms(use_true_random=False))
def test_order_of_keys_does_not_matter(order):
    loaded = load_text(GUIDE)

    other = load_text(json.dumps(shuffled(plain(loaded.document), order)))

    assert other.manifest == loaded.manifest
    assert sorted(f[:2] for f in other.features()) == sorted(f[:2] for f in loaded.features())

"""The JSON Schema, as an editor uses it: judged by a validator that is not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from reconciler.manifest.loading import load
from reconciler.manifest.schema import manifest_schema, text
from reconciler.manifest.tree import plain
from tests.unit.manifest.samples import SAMPLES, Sample

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/[0-9]*/README.md"))
VALIDATOR = Draft202012Validator(manifest_schema())


def files(example: Path) -> list[Path]:
    """The manifest of an example, the base before what is merged over it."""
    return sorted(example.glob("*.yaml"), key=lambda path: (path.stem not in ("base", "manifest"), path.name))


def test_schema_is_a_valid_schema():
    Draft202012Validator.check_schema(manifest_schema())


def test_schema_in_the_repository_is_current():
    assert (ROOT / "schemas" / "manifest.schema.json").read_text(encoding="utf-8") == text(), (
        "make it anew: python -m reconciler.manifest.schema > schemas/manifest.schema.json"
    )


def test_there_are_examples():
    assert len(EXAMPLES) >= 6
    assert all(files(example) for example in EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_is_accepted_by_the_schema_and_by_us(example: Path):
    base, *overlays = files(example)
    for given in ([base], [base, *overlays]):
        loaded = load(given)
        assert loaded.warnings == ()
        VALIDATOR.validate(plain(loaded.document))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_names_the_schema_for_editors(example: Path):
    first, *_ = files(example)[0].read_text(encoding="utf-8").splitlines()
    schema = first.removeprefix("# yaml-language-server: $schema=")

    assert (example / schema).resolve() == ROOT / "schemas" / "manifest.schema.json"


def test_every_form_is_accepted_by_the_schema_and_by_us():
    loaded = load([Path(__file__).with_name("everything.yaml")])

    VALIDATOR.validate(plain(loaded.document))


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.in_schema], ids=lambda s: s.name)
def test_wrong_manifest_is_refused_by_the_schema(sample: Sample):
    # as an editor reads it, so by another reader than ours
    document = YAML(typ="safe", pure=True).load(sample.manifest)

    assert not VALIDATOR.is_valid(document)


def described(schema: Any, definitions: dict[str, Any], path: str = "") -> list[str]:
    """The keys of a manifest that have no description."""
    if isinstance(schema, list):
        return [found for part in schema for found in described(part, definitions, path)]
    if not isinstance(schema, dict):
        return []
    lacking = [
        f"{path}.{key}"
        for key, value in schema.get("properties", {}).items()
        if "description" not in value and "description" not in definitions.get(value.get("$ref", "").removeprefix("#/$defs/"), {})
    ]
    return lacking + [found for key, value in schema.items() if key != "if" for found in described(value, definitions, f"{path}.{key}")]


def test_every_key_has_a_description():
    assert described(manifest_schema(), manifest_schema()["$defs"]) == []


def test_no_reference_in_the_schema_leads_nowhere():
    written = json.dumps(manifest_schema())
    names = set(manifest_schema()["$defs"])
    used = {part.split('"')[0] for part in written.split('"#/$defs/')[1:]}

    assert used <= names
    assert names - used == set()

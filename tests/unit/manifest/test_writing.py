"""What is written is read back as it was, whatever it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.manifest.source import PARSERS, parse
from reconciler.manifest.tree import plain
from reconciler.manifest.writing import comment, entry
from reconciler.model.secret import Secret

ODD = ("yes", "~", "0o7", "1e3", "a: b", "x\n", "<<", "2020-01-01")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(ODD)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.booleans()
VALUES = st.recursive(TEXTS | NUMBERS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12)


@settings(deadline=None, max_examples=150)
@given(TEXTS, VALUES)
def test_an_entry_is_read_back_as_it_was(label, value):
    for events in PARSERS:
        text = "section:\n" + entry(label, value, 1)
        assert plain(parse(text, "file", (events,))) == {"section": {label: value}}
        text = "section:\n" + entry(None, value, 1)
        assert plain(parse(text, "file", (events,))) == {"section": [value]}


@given(st.text())
def test_a_comment_is_nothing_but_a_comment(text):
    written = comment(text, 1)
    assert plain(parse(f"a: 1\n{written}b: 2\n", "file")) == {"a": 1, "b": 2}


def test_what_is_no_plain_value_is_not_written():
    with pytest.raises(TypeError, match="Secret"):
        entry("a", {"b": Secret("x")}, 0)

"""Durations as Go reads and writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.consul._durations import go_text, nanoseconds


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("90s", "1m30s"),
        ("1500ms", "1.5s"),
        ("3600s", "1h0m0s"),
        ("0", "0s"),
        ("0s", "0s"),
        ("1.5h", "1h30m0s"),
        ("1h0.5s", "1h0m0.5s"),
        ("1us", "1µs"),
        ("1500ns", "1.5µs"),
        ("999ns", "999ns"),
        (".5s", "500ms"),
        ("1.s", "1s"),
        ("-90s", "-1m30s"),
        ("+1m", "1m0s"),
        ("1.0000000001s", "1s"),
    ],
)
def test_canonical_text(written, canonical):
    assert go_text(nanoseconds(written)) == canonical


@pytest.mark.parametrize("text", ["", "10", "s", "1 s", "1d", "1m 30s", "ten", "-", ".s", "1e3s"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError):
        nanoseconds(text)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_what_is_written_is_read_back(duration_ns):
    assert nanoseconds(go_text(duration_ns)) == duration_ns

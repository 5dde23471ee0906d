"""Random ACL rules in normal form."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from reconciler.kinds.consul._rules import NAMED, SCALARS

# U+E123 and surrogates cannot be written in HCL; quotes, ${ and control characters must survive
SEGMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ue123"), max_size=8) | st.sampled_from(
    ["", "${", 'a"b', "a\\", "x/", "é", "policy"]
)
WORDS = st.sampled_from(["read", "write", "deny"])


@st.composite
def bodies(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """One rule."""
    body = {"policy": draw(WORDS | st.just("list") if name in ("key", "key_prefix") else WORDS)}
    if name in ("service", "service_prefix") and draw(st.booleans()):
        body["intentions"] = draw(WORDS)
    return body


@st.composite
def normal_rules(draw: st.DrawFn) -> dict[str, Any]:
    """Rules in normal form."""
    rules: dict[str, Any] = {name: draw(WORDS) for name in draw(st.sets(st.sampled_from(SCALARS)))}
    for name in draw(st.sets(st.sampled_from([n for n in NAMED if not n.startswith("identity")]), max_size=4)):
        rules[name] = {segment: draw(bodies(name)) for segment in draw(st.sets(SEGMENTS, min_size=1, max_size=3))}
    return rules

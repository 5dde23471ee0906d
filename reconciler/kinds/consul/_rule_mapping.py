"""ACL rules as the mapping that a person would write in a manifest."""

from __future__ import annotations

from typing import Any

from reconciler.kinds.consul._rules import understand, understand_mapping
from reconciler.manifest.acl_rules import check_rules


def as_mapping(text: str) -> dict[str, Any] | None:
    """Rules as a mapping, ``{service: {web: write}}``; None where it would not mean the same, or the manifest does not take it."""
    found = understand(text)
    if found.faults:
        return None
    rules = {name: value if isinstance(value, str) else {key: _short(body) for key, body in value.items()} for name, value in found.rules.items()}
    if check_rules(rules) or understand_mapping(rules).rules != found.rules:
        return None
    return rules


def _short(body: Any) -> Any:
    return body["policy"] if isinstance(body, dict) and body.keys() == {"policy"} else body

"""ACL rules as people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from reconciler.model.value import JSON


def as_hcl(rules: Mapping[str, JSON], postgres: Mapping[str, Sequence[str]], title: str) -> str:
    """Rules in HCL, with ``title`` and what roles in Postgres must have (attributes by server) as comments before them."""
    lines = [f"# {title}"]
    lines += [f"# Postgres {server}: CREATE ROLE reconciler {' '.join(attributes)}" for server, attributes in postgres.items()]
    for resource, said in rules.items():
        if isinstance(said, str):
            lines.append(f'{resource} = "{said}"')
        else:
            lines += [f"{resource} {json.dumps(name, ensure_ascii=False)} {{ {_words(rule)} }}" for name, rule in sorted(said.items())]
    return "\n".join(lines) + "\n"


def _words(rule: Mapping[str, str]) -> str:
    return " ".join(f'{key} = "{value}"' for key, value in rule.items())

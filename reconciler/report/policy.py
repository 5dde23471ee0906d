"""ACL rules as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model.rights import WHO, Rights, Role
from reconciler.report.characters import visible


def as_document(rights: Rights) -> dict[str, Any]:
    """Rules as Consul takes them in JSON, and by server what roles in Postgres must have: attributes, statements, and in words the rest."""
    return {
        "rules": rights.rules,
        "postgres": {server: role.attributes for server, role in rights.postgres.items()},
        "postgres_grants": {server: role.grants for server, role in rights.postgres.items() if role.grants},
        "postgres_notes": {server: role.notes for server, role in rights.postgres.items() if role.notes},
    }


def as_hcl(rights: Rights, title: str) -> str:
    """Rules in HCL, with ``title`` and what roles in Postgres must have as comments before them."""
    lines = [f"# {title}", *(f"# Postgres {server}: {visible(said)}" for server, role in rights.postgres.items() for said in _statements(role))]
    for resource, said in rights.rules.items():
        if isinstance(said, str):
            lines.append(f'{resource} = "{said}"')
        else:
            lines += [f"{resource} {json.dumps(name, ensure_ascii=False)} {{ {_words(rule)} }}" for name, rule in sorted(said.items())]
    return "\n".join(lines) + "\n"


def _statements(role: Role) -> Iterator[str]:
    yield f"CREATE ROLE {WHO} {' '.join(role.attributes)}"
    yield from role.grants
    yield from (f"and {note}" for note in role.notes)


def _words(rule: Mapping[str, str]) -> str:
    return " ".join(f'{key} = "{value}"' for key, value in rule.items())

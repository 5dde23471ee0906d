"""A saved plan as a file: what it was made from, what it would do, and a digest that tells when it was changed (docs/design.md §8).

It holds no secret: of a field that is one it says only that it changes. The digest finds what was cut off or edited by accident; it is no signature,
and who can write the file can make another one. A plan that is applied is made again from what the file holds, and only compared with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler import __version__
from reconciler.model.errors import ReconcilerError
from reconciler.model.resource import System
from reconciler.model.value import JSON, Path

FORMAT: Final = 1
_FIRST_KEY: Final = "reconciler_plan"
_BEGINNING: Final = re.compile(rb'\s*\{\s*"' + _FIRST_KEY.encode() + rb'"\s*:')
PEEK_BYTES: Final = 64
"""So much of a file's beginning tells whether it is one."""


@dataclass(frozen=True, slots=True)
class SavedField:
    """A field that changes. Each side is ``{"value": …}``, ``{"absent": true}``, ``{"sha256": …}``, or ``{"secret": true}`` on both."""

    path: Path
    before: JSON
    after: JSON


@dataclass(frozen=True, slots=True)
class SavedChange:
    """What was going to be done to one address. ``supersedes`` are incarnations that would have been deleted last."""

    address: str
    action: str
    fields: tuple[SavedField, ...]
    supersedes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """``options`` are the consents and limits it was made with, ``manifest`` is as :mod:`reconciler.manifest.stored` has it.

    ``systems`` are those it was made against, with their identities. ``unreadable`` are the addresses of which something could not be compared.
    ``made`` is when, in ISO 8601.
    """

    name: str
    options: Mapping[str, Any]
    manifest: JSON
    systems: tuple[tuple[System, str], ...]
    changes: tuple[SavedChange, ...]
    unreadable: tuple[str, ...]
    made: str


def is_saved_plan(beginning: bytes) -> bool:
    """Whether a file that begins so (with :data:`PEEK_BYTES`) is a saved plan, whole or not."""
    return _BEGINNING.match(beginning) is not None


def encode(plan: SavedPlan) -> str:
    """The file's text."""
    body = {
        _FIRST_KEY: FORMAT,
        "program": __version__,
        "made": plan.made,
        "name": plan.name,
        "options": dict(plan.options),
        "systems": [{"type": system.type, "name": system.name, "identity": identity} for system, identity in plan.systems],
        "changes": [_change_out(change) for change in plan.changes],
        "unreadable": list(plan.unreadable),
        "manifest": plan.manifest,
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in (body | {"sha256": _digest(body)}).items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def decode(content: bytes) -> SavedPlan:
    """The plan in a file. Raises ReconcilerError with the reason why it must not be used."""
    try:
        body = json.loads(content)
    except ValueError:
        raise ReconcilerError("it is cut off or damaged: make it anew") from None
    try:
        if body[_FIRST_KEY] != FORMAT:
            raise ReconcilerError(f"it has format {body[_FIRST_KEY]}, and this version reads {FORMAT}: apply it with the version that made it")
        if body["program"] != __version__:
            raise ReconcilerError(f"it was made by version {body['program']}, and this is {__version__}: make it anew, or apply it with that version")
        if body.pop("sha256", None) != _digest(body):
            raise ReconcilerError("it was changed after it was made: make it anew")
        return _plan(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReconcilerError(f"it is damaged ({type(error).__name__}): make it anew") from None


def _plan(body: dict[str, Any]) -> SavedPlan:
    return SavedPlan(
        name=body["name"],
        options=body["options"],
        manifest=body["manifest"],
        systems=tuple((System(s["type"], s["name"]), s["identity"]) for s in body["systems"]),
        changes=tuple(_change_in(change) for change in body["changes"]),
        unreadable=tuple(body["unreadable"]),
        made=body["made"],
    )


def _change_out(change: SavedChange) -> JSON:
    fields = [{"path": list(f.path), "before": f.before, "after": f.after} for f in change.fields]
    return {"address": change.address, "action": change.action, "fields": fields, "supersedes": list(change.supersedes)}


def _change_in(body: JSON) -> SavedChange:
    fields = tuple(SavedField(tuple(f["path"]), f["before"], f["after"]) for f in body["fields"])
    return SavedChange(body["address"], body["action"], fields, tuple(body["supersedes"]))


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("ascii")).hexdigest()

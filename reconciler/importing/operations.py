"""The two ways to a manifest: from what is live, and from Consul's own files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from reconciler.engine.connections import Connections
from reconciler.importing.checking import unsound
from reconciler.importing.choosing import Entry, chosen, entries, without_effect
from reconciler.importing.document import Document, document
from reconciler.importing.files import in_files
from reconciler.importing.looking import look
from reconciler.importing.request import Imported, Request, listed
from reconciler.kinds import all_kinds
from reconciler.model.address import Address
from reconciler.model.errors import ReconcilerError
from reconciler.model.importable import ImportableKind, PointedKind
from reconciler.model.importing import Found


def importable_kinds() -> list[str]:
    """The names of the kinds that can be imported."""
    return sorted(name for name, kind in all_kinds().items() if isinstance(kind, ImportableKind))


def import_live(connections: Connections, request: Request) -> Imported:
    """A manifest of what is live. Raises ReconcilerError when nothing of it was asked for."""
    looked = look(connections, request)
    merged = [f"It has no connections: give it together with {request.base[0][0]}, in that order."] if request.base else []
    opening = [
        "Written by reconciler import from what was live. Applying it changes nothing but adopts what it names;",
        "what was adopted is left in place when its entry goes, unless that says on_removal: delete.",
        *merged,
    ]
    return _imported(looked.found, request, opening, list(looked.left_out), looked.warnings)


def import_files(directory: Path, request: Request) -> Imported:
    """A manifest of the ACL policies, config entries and registrations in the files below ``directory``."""
    live, left_out = in_files(directory)
    opening = ["Written by reconciler import from files of Consul's own. What is live was not looked at."]
    return _imported(Found(live), request, opening, left_out, ())


def _imported(found: Found, request: Request, opening: list[str], left_out: list[tuple[str, str]], warnings: Sequence[str]) -> Imported:
    every = entries(found)
    wanted = chosen(every, request)
    if faults := without_effect(every, request):
        raise ReconcilerError("\n".join(faults))
    if not wanted and not left_out:
        raise ReconcilerError("nothing matches all that is asked for: ask for less, or see what there is without any choice")
    without: dict[Address, str] = {e.address: e.said.why_not for e in wanted if e.said.why_not}
    owned = {entry.address: f"owned by {owner}" for entry in wanted if (owner := _owner(entry, found, request.name)) is not None}
    if request.owned_too:
        wanted = [entry.noted(owned[entry.address]) if entry.address in owned else entry for entry in wanted]
    else:
        without |= owned
    pointed = [kind for kind in all_kinds().values() if isinstance(kind, PointedKind) and found.name]
    while True:
        taken = [entry for entry in wanted if entry.address not in without]
        parts = _parts(wanted, taken, without)
        remarks = [remark for kind in pointed for remark in [kind.remark([entry.said for entry in taken])] if remark]
        closing = [*left_out, *((str(address), why) for address, why in without.items() if address not in parts)]
        written = document(request.name, _with_notes(taken, parts, without), [*opening, *remarks, *warnings], _closing(closing))
        wrong = unsound(written, found, request)
        if not wrong:
            break
        without |= wrong
    left_out = [*left_out, *((str(address), why) for address, why in without.items())]
    return Imported(written.text, _resources(written), written.variables, tuple(sorted(left_out)), tuple(warnings))


def _parts(wanted: Iterable[Entry], taken: Iterable[Entry], without: Iterable[Address]) -> dict[Address, Address]:
    """What is left out of entries that are taken as to the rest, and an entry where that can be noted."""
    by_place = {entry.place: entry.address for entry in taken}
    left = set(without)
    return {entry.address: by_place[entry.place] for entry in wanted if entry.address in left and entry.place in by_place}


def _with_notes(taken: Iterable[Entry], parts: Mapping[Address, Address], why: Mapping[Address, str]) -> list[Entry]:
    notes: dict[Address, list[str]] = {}
    for part, where in parts.items():
        notes.setdefault(where, []).append(f"left out: {part}: {why[part]}")
    return [entry.noted(*notes.get(entry.address, ())) for entry in taken]


def _owner(entry: Entry, found: Found, name: str) -> str | None:
    """Another manifest than ``name`` that owns something of what the entry declares."""
    owners = (found.records[address].owner for address in entry.addresses if address in found.records)
    return next((owner for owner in owners if owner != name), None)


def _closing(left_out: Iterable[tuple[str, str]]) -> list[str]:
    lines = [f"  {line}" for line in listed(left_out)]
    return ["Left out:", *lines] if lines else []


def _resources(written: Document) -> int:
    return len({address for _, _, block in written.lines for entry in block.entries for address in entry.addresses})

"""The two ways to a manifest: from what is live, and from Consul's own files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from reconciler.engine.connections import Connections
from reconciler.importing.checking import unsound
from reconciler.importing.choosing import Entry, chosen, entries
from reconciler.importing.document import Document, document
from reconciler.importing.looking import look
from reconciler.importing.request import Imported, Request
from reconciler.kinds import all_kinds
from reconciler.model.address import Address
from reconciler.model.errors import ReconcilerError
from reconciler.model.importing import Found
from reconciler.model.kind import FiledKind, ImportableKind
from reconciler.model.resource import Live

SUFFIXES: Final = (".hcl", ".json")


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
    return _imported(looked.found, request, opening, [], looked.warnings)


def import_files(directory: Path, request: Request) -> Imported:
    """A manifest of the ACL policies, config entries and registrations in the files below ``directory``."""
    live: dict[Address, Live] = {}
    left_out: list[tuple[str, str]] = []
    for path in _files(directory):
        name = str(path.relative_to(directory))
        read = list(_in_file(path, name, left_out))
        twice = [one.address for one in read if one.address in live and not _is_same(live[one.address], one)]
        left_out += [(f"{address} in {name}", "another file says something else of it") for address in twice]
        live |= {one.address: one for one in read if one.address not in live}
    opening = ["Written by reconciler import from files of Consul's own. What is live was not looked at."]
    return _imported(Found(live), request, opening, left_out, ())


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise ReconcilerError(f"{directory}: {error.strerror}") from None


def _in_file(path: Path, name: str, left_out: list[tuple[str, str]]) -> Iterator[Live]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        found = [one for kind in all_kinds().values() if isinstance(kind, FiledKind) for one in kind.in_file(name, text)]
    except OSError as error:
        left_out.append((name, f"cannot be read ({error.strerror})"))
        return
    except UnicodeDecodeError:
        left_out.append((name, "is not UTF-8"))
        return
    except ValueError as error:
        left_out.append((name, f"is neither HCL nor JSON ({error})"))
        return
    if not found:
        left_out.append((name, "holds no ACL policy, no config entry and no registration"))
    yield from found


def _is_same(one: Live, other: Live) -> bool:
    return dict(one.fields) == dict(other.fields)


def _imported(found: Found, request: Request, opening: list[str], left_out: list[tuple[str, str]], warnings: Sequence[str]) -> Imported:
    wanted = chosen(entries(found), request)
    if not wanted and not left_out:
        raise ReconcilerError("nothing that is live matches: ask for something else, or see what there is without any choice")
    without: dict[Address, str] = {e.address: e.said.why_not for e in wanted if e.said.why_not}
    without |= {entry.address: f"is owned by {owner}" for entry in wanted if (owner := _owner(entry, found, request)) is not None}
    while True:
        taken = [entry for entry in wanted if entry.address not in without]
        parts = _parts(wanted, taken, without)
        closing = [*left_out, *((str(address), why) for address, why in without.items() if address not in parts)]
        written = document(request.name, _with_notes(taken, parts, without), [*opening, *warnings], _closing(closing))
        wrong = unsound(written, found, request)
        if not wrong:
            break
        without |= wrong
    every = [*left_out, *((str(address), why) for address, why in without.items())]
    return Imported(written.text, _resources(written), written.variables, tuple(sorted(every)), tuple(warnings))


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


def _owner(entry: Entry, found: Found, request: Request) -> str | None:
    """Another manifest that owns something of what the entry declares, if that matters."""
    if request.owned_too:
        return None
    owned = (found.records[address].owner for address in entry.addresses if address in found.records)
    return next((owner for owner in owned if owner != request.name), None)


def _closing(left_out: Iterable[tuple[str, str]]) -> list[str]:
    lines = [f"  {what}: {why}" for what, why in sorted(left_out)]
    return ["Left out:", *lines] if lines else []


def _resources(written: Document) -> int:
    return len({address for _, _, block in written.lines for entry in block.entries for address in entry.addresses})

"""What was written is read back by the loader, and compared with what is live. An entry that does not stand this test is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from reconciler.engine.observe import completed, declare, unsupported
from reconciler.importing.document import Document
from reconciler.importing.request import Request
from reconciler.kinds import all_kinds
from reconciler.manifest.loading import load_texts
from reconciler.model.address import Address
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError, ReconcilerError
from reconciler.model.importing import Found
from reconciler.model.resource import Desired, Live, Place
from reconciler.model.value import Value, is_secret, leaves, look_up

FILE: Final = "the imported manifest"


def unsound(written: Document, found: Found, request: Request) -> dict[Address, str]:
    """The resources whose entries are not valid, or mean something else than what is live, and why. Raises ReconcilerError for any other fault."""
    try:
        loaded = load_texts([*request.base, (FILE, written.text)], Path(request.base[0][0]).parent if request.base else Path())
        desired = declare(loaded)
        faults = unsupported(loaded)
    except ManifestError as error:
        faults = list(completed(error).diagnostics)
        desired = {}
    wrong: dict[Address, str] = {}
    for fault in faults:
        mine = list(_entries_of(fault, written))
        if not mine:
            raise ReconcilerError(f"what was written is not a valid manifest: {fault}; report this")
        why = ": ".join(part for part in (_field(fault, mine), fault.what) if part)
        wrong |= dict.fromkeys(mine, why)
    for address, one in desired.items():
        live = found.live.get(address)
        if live is not None and one.place.file == FILE and (field := _difference(one, live, found)):
            here = list(_entries_at(one.place, written))
            wrong |= dict.fromkeys([address] if address in here else here, f"a manifest cannot say its {field}")
    return wrong


def _difference(desired: Desired, live: Live, found: Found) -> str:
    """The first field that means something else than what is live. What a secret is worth is not known here."""
    rules, record = all_kinds()[desired.address.kind].rules, found.record_of_ours(desired.address)
    for path, want in leaves(desired.fields, rules.whole):
        # how often a token was replaced by another only its record tells
        is_recorded = record is not None and path[0] in rules.immutable and look_up(record.specification, path) == want
        have = want if is_recorded else look_up(live.fields, path)
        if not rules.same(path, want, have) and not _may_be_same(want, have):
            return ".".join(path)
    return ""


def _may_be_same(want: Value, have: Value) -> bool:
    """Whether two values are one but for the secrets in them, of which what they are worth is not known here."""
    if is_secret(want) or is_secret(have):
        return True
    if isinstance(want, Mapping) and isinstance(have, Mapping):
        return want.keys() == have.keys() and all(_may_be_same(inner, have[key]) for key, inner in want.items())
    if isinstance(want, list) and isinstance(have, list):
        return len(want) == len(have) and all(map(_may_be_same, want, have))
    return bool(want == have)


def _field(fault: Diagnostic, mine: list[Address]) -> str:
    """What of the resource a fault is about, in the words of its subject."""
    spelled = next((str(address) for address in mine if fault.subject.startswith(f"{address}.")), None)
    return fault.subject[len(spelled) + 1 :] if spelled else ""


def _entries_of(fault: Diagnostic, written: Document) -> Iterator[Address]:
    if fault.place is not None and fault.place.file == FILE:
        here = list(_entries_at(fault.place, written))
        spoken_of = [address for address in here if fault.subject == str(address) or fault.subject.startswith(f"{address}.")]
        yield from spoken_of or here


def _entries_at(place: Place, written: Document) -> Iterator[Address]:
    for first, last, block in written.lines:
        if first <= place.line <= last:
            yield from (entry.address for entry in block.entries)

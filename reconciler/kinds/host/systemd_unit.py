"""``systemd-unit/HOST/NAME``: the unit of a gateway's process: enabled, running, and started after everything it reads was written.

Its file is a resource of its own (``file/HOST/PATH``). A unit that is neither enabled nor running, and whose file is the one that we write, is not
there yet. ``reads`` holds the version of each file that a start takes in: when one changes, the unit is started again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import ClassVar, Final

from reconciler.kinds.host import _fitness
from reconciler.kinds.host._gateway import Process, processes
from reconciler.kinds.host._machine import OnMachine, version
from reconciler.kinds.host._serving import journal, lack
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.kind import Finding, Made, Order, Started, Wanted
from reconciler.model.record import State
from reconciler.model.resource import Desired, Live
from reconciler.model.secret import Reference
from reconciler.model.value import Value
from reconciler.systems.host import Facts, Host, Inquiry, UnitState

_IDLE: Final = ("inactive", "failed")
_OFF: Final = ("", "disabled", "bad")
_TIMEOUT_S: Final = 180.0
"""Longer than the unit's own TimeoutStopSec of 120 s."""

_START: Final = r"""
unit=$1 restart=$2 unmask=$3
try() { said=$("$@" 2>&1) || fault rejected "$unit: $(printf '%s' "$said" | head -n 1): journalctl -u $unit tells more"; }
try systemctl daemon-reload
[ -z "$unmask" ] || try systemctl unmask -- "$unit"
try systemctl enable -- "$unit"
[ -z "$restart" ] || try systemctl restart -- "$unit"
"""
_STOP: Final = r"""
unit=$1
loaded=$(systemctl show -p LoadState --value -- "$unit") || exit 1
[ "$loaded" != not-found ] || exit 0
try() { said=$("$@" 2>&1) || fault rejected "$unit: $(printf '%s' "$said" | head -n 1): journalctl -u $unit tells more"; }
[ "$loaded" != masked ] || try systemctl unmask -- "$unit"
try systemctl disable --now -- "$unit"
systemctl reset-failed -- "$unit" 2>/dev/null || :
"""


class SystemdUnit(OnMachine):
    """Units."""

    name: ClassVar[str] = "systemd-unit"
    covers: ClassVar[frozenset[str]] = frozenset({"terminating_gateways.process"})
    rules: ClassVar[FieldRules] = FieldRules(whole=frozenset({("reads",)}))

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """One for each gateway that the manifest runs."""
        for process in processes(manifest):
            reads = _reads(process, manifest)
            yield Desired(
                process.address(self.name), process.system,
                {
                    "file": process.unit_path, "enabled": "enabled", "active": "active",
                    "reads": {"/" + a.segments[1]: Reference(a, "version", masked=False) for a in sorted(reads)},
                },
                process.name, process.place, needs=_needs(process) | reads, must_exist=reads,
                on_removal=process.gateway.on_removal, protect=process.gateway.protect, adopt=process.gateway.adopt, entry=process,
            )  # fmt: skip

    def asks(self, wanted: Sequence[Wanted]) -> Inquiry:
        """By their full names; what one that nobody has recorded would read; and whether the machine is fit for them."""
        read = (path for w in wanted if w.record is None and w.desired is not None for path in w.desired.fields["reads"])
        units = Inquiry(units=frozenset(w.address.segments[1] for w in wanted), files=frozenset(read))
        return reduce(or_, [_fitness.asked(w.desired.entry) for w in wanted if w.desired is not None], units)

    def findings(self, wanted: Sequence[Wanted], facts: Facts) -> Iterable[Finding]:
        """What of the machine does not go with its gateways."""
        for want in wanted:
            if want.desired is not None:
                yield from _fitness.findings(want.address, want.desired.entry, facts)
                yield from _lies_elsewhere(want, facts)

    def told(self, wanted: Sequence[Wanted], facts: Facts) -> Iterable[Live]:
        """Where its file is, whether it is enabled and runs; what it read is what was written when it was last started by us."""
        for want in wanted:
            state = facts.units.get(want.address.segments[1])
            if state is not None and _is_there(want, state):
                yield Live(want.address, _fields(want, state, facts), notice=_drop_ins(state))

    def create(self, system: Host, order: Order) -> Made:
        """Enabled, and started anew: what a killed run began may run with what there was before."""
        return _start(system, order, restart=True)

    def update(self, system: Host, order: Order) -> Made:
        """Enabled, and started anew unless it was only not enabled."""
        return _start(system, order, restart=any(path[0] != "enabled" for path in order.changed) or _is_masked(order))

    def delete(self, system: Host, order: Order) -> None:
        """Stopped and disabled."""
        system.run(_STOP, order.address.segments[1], timeout_s=_TIMEOUT_S)

    def lacks(self, started: Started) -> str:
        """What the gateway lacks before it serves."""
        return lack(started)

    def last_words(self, started: Started) -> Sequence[str]:
        """The end of its journal."""
        return journal(started)


KIND = SystemdUnit()


def _reads(process: Process, manifest: LoadedManifest) -> frozenset[Address]:
    managed = {process.file(f.path) for f in manifest.manifest.files.values() if f.host == process.host}
    return frozenset({process.file(process.unit_path), process.file(process.token_file)} | ({process.file(f) for f in process.tls_files} & managed))


def _needs(process: Process) -> frozenset[Address]:
    return frozenset(
        {process.address(kind) for kind in ("os-user", "os-group", "agent-service")}
        | {Address.of("config-entry", "terminating-gateway", process.name, fold=True)}
    )


def _lies_elsewhere(want: Wanted, facts: Facts) -> Iterator[Finding]:
    """A unit that nobody has recorded, whose file is not where its entry has it."""
    (host, unit), path = want.address.segments, want.desired.entry.unit_path if want.desired is not None else ""
    state = facts.units.get(unit)
    if want.record is None and state is not None and state.file and not _same_file(state.file, path):
        what = f"{unit} of {host} is in {state.file}, and {path} would go before it"
        yield Finding(want.address, what, f"write unit_path: {state.file} to adopt it where it is", is_remark=True)


def _is_there(want: Wanted, state: UnitState) -> bool:
    told = want.desired.fields if want.desired else want.record.specification if want.record else {}
    if state.load == "not-found" and state.active in _IDLE:
        return False
    idle = state.active in _IDLE and state.enabled in _OFF and state.load != "masked"
    claimed = want.record is not None and want.record.state is State.CLAIMING
    if claimed and _same_file(str(told.get("file")), state.file):
        return state.active == "active" and state.enabled == "enabled"  # what a killed run began is done again from its beginning
    ours = want.record is not None
    return ours or not (idle and _same_file(str(told.get("file")), state.file))


def _fields(want: Wanted, state: UnitState, facts: Facts) -> dict[str, Value]:
    """One that was not started by us has read what is there: nothing tells otherwise."""
    told = want.desired.fields if want.desired else want.record.specification if want.record else {}
    reads = want.record.specification.get("reads") if want.record else None
    if reads is None and want.desired is not None:
        reads = {path: version(facts.files[path]) for path in want.desired.fields["reads"] if path in facts.files}
    file = next((path for path in (told.get("file"),) if isinstance(path, str) and _same_file(path, state.file)), state.file)
    return {"file": file, "enabled": "masked" if state.load == "masked" else state.enabled, "active": state.active, "reads": reads}


def _same_file(one: str, other: str) -> bool:
    """/lib is /usr/lib, and systemd names the one or the other."""
    return one.removeprefix("/usr") == other.removeprefix("/usr") if "/local/" not in one else one == other


def _drop_ins(state: UnitState) -> str:
    return f"leaves the drop-ins of others behind ({state.drop_ins[0]})" if state.drop_ins else ""


def _is_masked(order: Order) -> bool:
    return order.live is not None and order.live.fields.get("enabled") == "masked"


def _start(system: Host, order: Order, *, restart: bool) -> Made:
    unmask = "yes" if _is_masked(order) else ""
    system.run(_START, order.address.segments[1], "yes" if restart else "", unmask, timeout_s=_TIMEOUT_S)
    return Made(None)

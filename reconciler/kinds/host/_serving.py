"""Whether a gateway that was started serves: its unit runs, it listens, its check passes, and its token may write every service it is linked to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.kinds.host._gateway import Process
from reconciler.model.address import Address
from reconciler.model.kind import Permission, Started
from reconciler.model.secret import Reference, Secret
from reconciler.systems.host import Host, Inquiry, UnitState

_JOURNAL: Final = r"""
journalctl -u "$1" -n "$2" --no-pager -o cat -q
"""
_LINES: Final = 10


def lack(started: Started) -> str:
    """What it still lacks, in words; empty when it serves."""
    process: Process = started.desired.entry
    return "; ".join(_lacks(started, process))


def journal(started: Started) -> Sequence[str]:
    """What its unit printed last."""
    process: Process = started.desired.entry
    host: Host = started.system
    return [line.rstrip() for line in host.run(_JOURNAL, process.unit, str(_LINES)).splitlines() if line.strip()][-_LINES:]


def _lacks(started: Started, process: Process) -> Iterator[str]:
    host: Host = started.system
    port = process.listens_on[1]
    facts = host.inquire(Inquiry(units=frozenset({process.unit}), ports=frozenset({port})))
    state = facts.units.get(process.unit)
    if state is None or state.active != "active":
        yield _of_unit(state)
    elif port not in facts.listening:
        # a check that passed before the start is not run again at once, so it does not tell
        yield f"nothing listens on port {port} yet"
    else:
        yield from _of_check(host, process)
    yield from _of_grants(started, process)


def _of_unit(state: UnitState | None) -> str:
    if state is None:
        return "there is no systemd"
    ended = f", its last run ended with {state.result}" if state.result not in ("", "success") else ""
    again = f", started again {state.restarts} times" if state.restarts else ""
    return f"systemd says that it is {state.active} ({state.sub}){ended}{again}"


def _of_check(host: Host, process: Process) -> Iterator[str]:
    checks = [check for check in host.agent.checks().values() if str(check.get("ServiceID", "")).lower() == process.name.lower()]
    if not checks:
        yield "no check of it is registered with the Consul agent of its machine"
    for check in checks:
        if check["Status"] != "passing":
            output = str(check.get("Output") or "").strip().partition("\n")[0]
            yield f"its check is {check['Status']}{f': {output}' if output else ', it was not run yet'}"


def _of_grants(started: Started, process: Process) -> Iterator[str]:
    """Consul itself is asked, as the gateway: only it knows what policies, roles and identities come to (docs/facts.md: Consul 8)."""
    linked = sorted({process.name, *process.gateway.services})
    token = started.look_up(Reference(Address.of("acl-token", process.process.token), "secret_id"))
    if not isinstance(token, Secret):
        yield "whether its token may write the services that it is linked to could not be asked, because the token may not be read"
        return
    allowed = started.consul.authorize([Permission("service", name, "write") for name in linked], token)
    denied = [name for name, may in zip(linked, allowed, strict=True) if not may]
    if denied:
        yield f"its token {process.process.token} may not write {', '.join(denied)}, which it is linked to: grant it service:write on that"

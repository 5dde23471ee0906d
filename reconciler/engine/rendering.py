"""What a host is to have, as a script and files for whoever deploys by other means. It is made by the kinds themselves, as an apply would do it."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.engine.observe import declare
from reconciler.engine.order import in_order
from reconciler.kinds import all_kinds
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.suggestion import instead
from reconciler.model.errors import ReconcilerError
from reconciler.model.kind import HostKind, Order
from reconciler.model.resource import System
from reconciler.model.secret import Secret
from reconciler.model.value import Value, is_secret
from reconciler.systems.host import RenderingHost


@dataclass(frozen=True, slots=True)
class Rendering:
    """``script`` is the program, ``files`` what it puts in its places (contents by path beside it), ``secrets`` the paths of what is left out."""

    script: str
    files: dict[str, bytes]
    secrets: tuple[str, ...]


def render(loaded: LoadedManifest, host: str) -> Rendering:
    """What ``host`` is to have. Raises ReconcilerError when the manifest has nothing for it."""
    desired, kinds = declare(loaded), all_kinds()
    machine = RenderingHost(host)
    ordered = [a for a in in_order(desired) if desired[a].system == System("host", host)]
    if not ordered:
        known = sorted({d.system.name for d in desired.values() if d.system.type == "host"})
        remedy = instead(host, known) if known else "it has nothing for any host"
        raise ReconcilerError(f"the manifest {loaded.name} has nothing for the host {host}: {remedy}")
    for address in ordered:
        kind = kinds[address.kind]
        if isinstance(kind, HostKind) and kind.is_rendered:  # a registration is no thing of the machine: its unit makes it
            order = Order(address, {k: _known(v) for k, v in desired[address].fields.items()}, loaded.name, desired=desired[address])
            _step(machine, kind, order)
    title = f"Made by reconciler from the manifest {loaded.name} for the host {host}."
    return Rendering(machine.script(title), machine.files, tuple(machine.secrets))


def _step(machine: RenderingHost, kind: HostKind, order: Order) -> None:
    if kind.name == "file":
        kind.create(machine, order)
    else:
        machine.step(str(order.address), lambda: kind.create(machine, order), lambda: kind.update(machine, order))


def _known(value: Value) -> Value:
    """A secret stands for itself only: what it is does not matter here, and is not asked for."""
    return Secret("") if is_secret(value) else value

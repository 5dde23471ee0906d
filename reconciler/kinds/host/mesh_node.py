"""``mesh-node/HOST``: a machine that is a member of the mesh, with the cluster's archive on it: what the documents do with scp and set-up.

The archive is compared and copied as it is, encrypted. A machine that is set up is left as it is but for the archive, and is never torn down: when
its entry goes it is forgotten. They are set up one after the other, and each must be a member before the next begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from reconciler.credentials import joining, members
from reconciler.credentials.members import NodeState
from reconciler.credentials.node import ARCHIVE
from reconciler.credentials.opening import read_sealed
from reconciler.credentials.sources import digest_of
from reconciler.kinds.host._machine import OnMachine
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import MeshNode
from reconciler.model.address import Address
from reconciler.model.errors import AlreadyExists, LostRace, OutcomeUnknown, PartlyDone, ReconcilerError, Rejected, SystemFault, Unreachable
from reconciler.model.field_rules import FieldRules
from reconciler.model.kind import Finding, Made, Order, Permission, Wanted
from reconciler.model.record import Record, State
from reconciler.model.resource import Desired, Live, OnRemoval, System
from reconciler.model.secret import Hidden, Reference, Secret, SecretSource
from reconciler.model.value import Value
from reconciler.systems.host import Facts, Host, Inquiry


class _Archive:
    """The archive as it lies here, the same for all nodes."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @cached_property
    def digest(self) -> str | None:
        """None where it cannot be read, which the plan fails with: it is a field of each node."""
        try:
            return digest_of(read_sealed(self.file))
        except ReconcilerError:
            return None


@dataclass(frozen=True, slots=True)
class _Entry:
    node: MeshNode
    archive: _Archive


class MeshNodes(OnMachine):
    """Members of the mesh."""

    name: ClassVar[str] = "mesh-node"
    covers: ClassVar[frozenset[str]] = frozenset({"mesh_credentials.cluster"})
    rules: ClassVar[FieldRules] = FieldRules(not_compared=frozenset({"address", "password"}))
    is_rendered: ClassVar[bool] = False

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """One for each node, each after those before it."""
        cluster = manifest.manifest.mesh_credentials.cluster
        if cluster is None:
            return
        archive = _Archive(manifest.directory / cluster.file)
        before: frozenset[Address] = frozenset()
        for label, node in cluster.in_order:
            fields: dict[str, Value] = {"archive": SecretSource("digest", cluster.file, masked=False), "access": members.ACCESS, "set_up": True}
            fields |= {k: v for k, v in (("address", node.address), ("password", cluster.password)) if v is not None}
            # not in needs: what a node was set up with once, it does not need to stay
            must_exist = frozenset({cluster.password.address} if isinstance(cluster.password, Reference) else ())
            address = self.address(node.host)
            yield Desired(
                address, System("host", node.host), fields, label, manifest.place("mesh_credentials", "cluster", "nodes", label),
                must_exist=must_exist, after=before | must_exist, on_removal=OnRemoval.RETAIN, protect=node.protect, adopt=node.adopt,
                entry=_Entry(node, archive),
            )  # fmt: skip
            before |= {address}

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterable[Permission]:
        """Whether it is a member is asked when it was set up; what its node is called is known then only."""
        return [Permission("node", "", "read", wanted.address)] if write else []

    def asks(self, wanted: Sequence[Wanted]) -> Inquiry:
        """The same of each."""
        return members.asked() if wanted else Inquiry()

    def told(self, wanted: Sequence[Wanted], facts: Facts) -> Iterable[Live]:
        """What is not set up and has no archive, or the one that it is to have, is not there yet."""
        state = members.told(facts)
        return [_live(want, state) for want in wanted if not _is_absent(want, state)]

    def findings(self, wanted: Sequence[Wanted], facts: Facts) -> Iterable[Finding]:
        """What keeps a machine from being set up, and its archive from being compared."""
        state = members.told(facts)
        for want in wanted:
            if want.desired is not None:
                host = want.address.segments[0]
                lacking = [] if state.is_set_up else _lacking(want.desired, state)
                for what, what_to_do in [*_unreadable(state), *lacking]:
                    yield Finding(want.address, f"{host} {what}", what_to_do)

    def create(self, system: Host, order: Order) -> Made:
        """The archive, and set-up; what an interrupted run of ours has left of that is removed before."""
        state = members.look(system)
        if state.is_set_up:
            raise AlreadyExists(f"{system.name} was set up by somebody else meanwhile: run again")
        assert order.desired is not None
        if state.archive is not None and state.digest not in _known(order.fields["archive"], order.record):
            raise AlreadyExists(f"{system.name} has another archive meanwhile: run again")
        return _make(system, order, state)

    def update(self, system: Host, order: Order) -> Made:
        """Whatever of the two differs."""
        state = members.look(system)
        if order.live is not None and state.digest != (order.live.fields.get("archive") or ""):
            raise LostRace(f"{system.name} has another archive meanwhile: run again")
        if not state.has_configuration and ("set_up",) not in order.changed:
            raise LostRace(f"{system.name} is not set up any more: run again")
        return _make(system, order, state)

    def delete(self, system: Host, order: Order) -> None:
        """It is never asked for."""
        del order
        raise Rejected(f"{system.name} is a node of the mesh, and is never torn down")


KIND = MeshNodes()


def _unreadable(state: NodeState) -> Iterable[tuple[str, str]]:
    archive = state.archive
    if archive is not None and archive.content is None and not archive.special:
        is_denied = "may not be read" in archive.why
        remedy = "log in as root, or write sudo: true under hosts" if is_denied else f"remove {ARCHIVE} there"
        yield f"has an archive that cannot be compared: {archive.why}", remedy


def _lacking(desired: Desired, state: NodeState) -> Iterable[tuple[str, str]]:
    """What keeps a machine from being set up, and what to do about it."""
    node: MeshNode = desired.entry.node
    if node.first_instance and state.mark is None:
        remedy = "Consul answers, so there is a mesh already: leave out first_instance to let it join that"
        yield "is to be the first instance of the mesh, and is not set up", remedy
    if "password" not in desired.fields:
        yield "is not set up, which takes the archive's password", "write password: under mesh_credentials.cluster"
    if not state.has_program:
        yield f"has no program {members.PROGRAM}", "install service-discover-agent or -server there"
    elif not state.has_folder:
        yield f"has no folder {members.FOLDER}", "install service-discover-agent or -server there again"
    if node.address is None and state.lacks_of_address:
        yield f"has {state.lacks_of_address}", "write address: into its entry"


def _known(digest: Value, record: Record | None) -> set[Value]:
    """The digests of archives that may be on a machine that is not set up: the one that it is to have, and the one of a run before."""
    return {digest} | ({record.specification.get("archive")} if record is not None else set())


def _is_absent(want: Wanted, state: NodeState) -> bool:
    if state.mark is not None:
        return want.record is not None and want.record.state is State.CLAIMING
    digest = want.desired.entry.archive.digest if want.desired is not None else None
    return not state.has_configuration and (state.archive is None or state.digest in _known(digest, want.record))


def _live(want: Wanted, state: NodeState) -> Live:
    archive = state.archive
    fields: dict[str, Value] = {"set_up": state.is_set_up}
    if archive is not None:
        fields |= {"archive": state.digest if archive.content is not None else Hidden(archive.why), "access": state.access}
    foreign = f"has {archive.special} in the archive's place" if archive is not None and archive.special else ""
    return Live(want.address, fields, foreign=foreign, remedy=f"remove {ARCHIVE} there")


def _make(system: Host, order: Order, state: NodeState) -> Made:
    """The archive where it differs, and set-up where there was none; all that can be told is refused before anything is written."""
    assert order.desired is not None
    sealed = read_sealed(order.desired.entry.archive.file)
    archive = digest_of(sealed)
    if archive != order.fields["archive"]:
        raise LostRace(f"{order.desired.entry.archive.file} was written by somebody else meanwhile: run again")
    password, address = order.fields.get("password"), ""
    if not state.is_set_up:
        address = str(order.fields.get("address") or members.own_address(system.name, state))
        if not isinstance(password, Secret):
            raise Rejected(f"{system.name} is not set up, and the archive's password is not known")
        joining.demand_typable(system.name, password)
    is_written = bool(members.differs(state.archive, sealed))
    if is_written:
        members.put_archive(system, sealed, seen=state.archive)
    if isinstance(password, Secret) and not state.is_set_up:
        try:
            joining.bring_in(system, archive, address, password, is_unfinished=state.mark is not None)
        except (OutcomeUnknown, PartlyDone, Unreachable):
            raise
        except SystemFault as fault:
            if not is_written:
                raise
            # the archive there is ours: without the claim, the next run would take it for somebody else's
            raise PartlyDone(str(fault)) from fault
    return Made(None)

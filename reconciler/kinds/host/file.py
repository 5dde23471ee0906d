"""``file/HOST/PATH``: a file on a machine; for now one that holds the secret of an ACL token, as Carbonio's services read it.

The path stands in the address without its first slash: ``file/local/etc/carbonio/gateway/service-discover/token``. The content is the secret and one
newline; one that is there without the newline is the same. Owner, group and mode are compared where the manifest sets them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.errors import Rejected
from reconciler.model.kind import FieldRules, Made, Order, Permission, Wanted
from reconciler.model.resource import Desired, Live, System, SystemType
from reconciler.model.secret import Hidden, Reference, Secret
from reconciler.model.value import Value
from reconciler.systems.host import FileState, Host

_LOCAL = "local"


class HostFile:
    """Files."""

    name: ClassVar[str] = "file"
    system: ClassVar[SystemType] = "host"
    covers: ClassVar[frozenset[str]] = frozenset({"mesh_credentials.tokens.file"})
    rules: ClassVar[FieldRules] = FieldRules(keeps=frozenset({"owner", "group", "mode"}))
    replaces: ClassVar[bool] = False

    def address(self, *segments: str) -> Address:
        """A host and a path without its first slash."""
        return Address.of(self.name, *segments)

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """The token files on this machine. A file shares its token's options: what becomes of the one becomes of the other."""
        for label, token in manifest.manifest.mesh_credentials.tokens.items():
            needed = Address.of("acl-token", label)
            for number, file in enumerate(token.file):
                if file.host != _LOCAL:
                    continue
                fields: dict[str, Value] = {"token": Reference(needed, "secret_id"), "mode": file.mode}
                fields |= {k: v for k, v in (("owner", file.owner), ("group", file.group)) if v is not None}
                yield Desired(
                    self.address(file.host, file.path.removeprefix("/")), System("host", file.host), fields, label,
                    manifest.place("mesh_credentials", "tokens", label, "file", number), needs=frozenset({needed}), must_exist=frozenset({needed}),
                    on_removal=token.on_removal, protect=token.protect, adopt=token.adopt,
                )  # fmt: skip

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterable[Permission]:
        """None in Consul."""
        del wanted, write
        return ()

    def read(self, system: Host, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """All in one call."""
        paths = {_path(w.address): w for w in wanted}
        return [_live(paths[path], state) for path, state in system.read(paths).items()]

    def create(self, system: Host, order: Order) -> Made:
        """A new file; AlreadyExists when there is one."""
        return self._write(system, order, exclusive=True)

    def update(self, system: Host, order: Order) -> Made:
        """The whole file anew, also when only its owner or mode differs: it is never half changed."""
        return self._write(system, order, exclusive=False)

    def delete(self, system: Host, order: Order) -> None:
        """Remove it, unless it was written since the plan was made."""
        system.remove(_path(order.address), replacing=order.live.witness if order.live else None)

    def _write(self, system: Host, order: Order, *, exclusive: bool) -> Made:
        token = order.fields["token"]
        if not isinstance(token, Secret):
            raise Rejected(
                f"its content may not be read, so it cannot be written anew: {token.why}" if isinstance(token, Hidden) else "its content is not known"
            )
        state = system.write(
            _path(order.address), Secret(token.reveal() + "\n"), owner=order.fields.get("owner"), group=order.fields.get("group"),
            mode=order.fields["mode"], exclusive=exclusive, replacing=order.live.witness if order.live and not exclusive else None,
        )  # fmt: skip
        return Made(None, list(state.witness))


KIND = HostFile()


def _path(address: Address) -> str:
    return "/" + address.segments[1]


def _live(want: Wanted, state: FileState) -> Live:
    content = Hidden(state.why) if state.content is None else Secret(state.content.decode("utf-8", "surrogateescape").removesuffix("\n"))
    owner, group = _as_written(want, "owner", state.owner, state.uid), _as_written(want, "group", state.group, state.gid)
    fields: dict[str, Value] = {"token": content, "owner": owner, "group": group, "mode": state.mode}
    foreign = f"is {state.special}, not a file" if state.special else ""
    return Live(want.address, fields, witness=list(state.witness), foreign=foreign)


def _as_written(want: Wanted, key: str, name: str, number: int) -> str:
    """An owner or group by its number, where the manifest or the record has it so: ``"1000"`` is the same as the name of that account."""
    written = [fields.get(key) for fields in (want.desired and want.desired.fields, want.record and want.record.specification) if fields]
    return next((str(said) for said in written if said in (name, str(number))), name)

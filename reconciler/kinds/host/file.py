"""``file/HOST/PATH``: a file on a machine: one that the manifest gives, one that holds the secret of an ACL token as Carbonio's services read it, the
file of a systemd unit.

The path stands in the address without its first slash: ``file/local/etc/carbonio/gateway/service-discover/token``. A token's content is the secret
and one newline; one that is there without the newline is the same. Owner, group and mode are compared where the manifest sets them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

from reconciler.kinds.host import _token_files
from reconciler.kinds.host._contents import content_of
from reconciler.kinds.host._gateway import owners, processes
from reconciler.kinds.host._machine import OnMachine, as_written, path_of, version
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import AclToken
from reconciler.model.address import Address
from reconciler.model.errors import Rejected
from reconciler.model.field_rules import FieldRules
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.record import Record
from reconciler.model.resource import Desired, Live, Place, System
from reconciler.model.secret import Hidden, Reference, Secret
from reconciler.model.value import Digest, Value
from reconciler.systems.host import Facts, FileState, Host, Inquiry

_UNIT_FOLDERS: Final = ("/etc/systemd/system/", "/lib/systemd/system/", "/usr/lib/systemd/system/", "/usr/local/lib/systemd/system/")
_RELOAD: Final = "[ ! -d /run/systemd/system ] || systemctl daemon-reload"


class HostFile(OnMachine):
    """Files."""

    name: ClassVar[str] = "file"
    covers: ClassVar[frozenset[str]] = frozenset({"mesh_credentials.tokens.file", "mesh_credentials.tokens.file.remote", "files"})
    rules: ClassVar[FieldRules] = FieldRules(keeps=frozenset({"owner", "group", "mode"}), renews=frozenset({"version"}))

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """The manifest's own files, the token files, and what the processes of gateways read."""
        yield from _files(manifest, self.name)
        for label, token in manifest.manifest.mesh_credentials.tokens.items():
            for number, file in enumerate(token.file):
                place = manifest.place("mesh_credentials", "tokens", label, "file", number)
                yield _token_file(manifest, label, token, (file.host, file.path), (file.owner, file.group, file.mode), place)
        for process in processes(manifest):
            if not process.has_own_token_file:
                token, where = manifest.manifest.mesh_credentials.tokens[process.process.token], (process.host, process.token_file)
                yield _token_file(manifest, process.process.token, token, where, (process.user, process.group, "0600"), process.place)
            yield Desired(
                process.file(process.unit_path), process.system, {"content": process.unit_text, "mode": "0644"}, process.name, process.place,
                on_removal=process.gateway.on_removal, protect=process.gateway.protect, adopt=process.gateway.adopt,
            )  # fmt: skip

    def asks(self, wanted: Sequence[Wanted]) -> Inquiry:
        """With their contents."""
        return Inquiry(files=frozenset(path_of(w.address) for w in wanted))

    def told(self, wanted: Sequence[Wanted], facts: Facts) -> Iterable[Live]:
        """Content, owner, group and mode."""
        return [_live(want, facts.files[path_of(want.address)]) for want in wanted if path_of(want.address) in facts.files]

    def find(self, system: Host) -> list[Live]:
        """None: which of a machine's files are somebody's cannot be known without reading them all."""
        del system
        return []

    def find_at(self, system: Host, addresses: Iterable[Address]) -> list[Live]:
        """Those that are there, as files of tokens."""
        return list(self.read(system, [Wanted(address, "") for address in addresses]))

    def is_told(self, record: Record) -> bool:
        """Where it holds a token: of another file only what is in it is known, not where that came from."""
        return "token" in record.specification

    def remark(self, entries: Iterable[Expression]) -> str:
        """About tokens whose files were not named."""
        return _token_files.remark(entries)

    def express(self, live: Live, found: Found) -> Expression | None:
        """A token's entry says it; what is no token's is named."""
        return _token_files.expressed(live, found)

    def create(self, system: Host, order: Order) -> Made:
        """A new file; AlreadyExists when there is one."""
        return self._write(system, order, exclusive=True)

    def update(self, system: Host, order: Order) -> Made:
        """The whole file anew, also when only its owner or mode differs: it is never half changed."""
        return self._write(system, order, exclusive=False)

    def delete(self, system: Host, order: Order) -> None:
        """Remove it, unless it was written since the plan was made."""
        path = path_of(order.address)
        system.remove(path, replacing=order.live.witness if order.live else None)
        if path.startswith(_UNIT_FOLDERS):
            system.run(_RELOAD)

    def _write(self, system: Host, order: Order, *, exclusive: bool) -> Made:
        state = system.write(
            path_of(order.address), _bytes(order.fields), owner=order.fields.get("owner"), group=order.fields.get("group"),
            mode=order.fields["mode"], exclusive=exclusive, replacing=order.live.witness if order.live and not exclusive else None,
        )  # fmt: skip
        return Made(None, list(state.witness), {"version": version(state)})


KIND = HostFile()


def _files(manifest: LoadedManifest, kind: str) -> Iterable[Desired]:
    for label, file in manifest.manifest.files.items():
        place = manifest.place("files", label)
        fields: dict[str, Value] = {"mode": file.mode}
        fields |= {k: v for k, v in (("owner", file.owner), ("group", file.group)) if v is not None}
        needed = _home(manifest, file.host, file.path) | owners(manifest, file.host, file.owner, file.group)
        must_exist: frozenset[Address] = frozenset()
        if file.token is not None:
            must_exist = frozenset({Address.of("acl-token", file.token)})
            fields["token"] = Reference(Address.of("acl-token", file.token), "secret_id")
        else:
            fields["content"] = content_of(file, manifest, place)
            if isinstance(fields["content"], Reference):
                must_exist = frozenset({fields["content"].address})
        yield Desired(
            Address.of(kind, file.host, file.path.removeprefix("/")), System("host", file.host), fields, label, place,
            needs=needed | must_exist, must_exist=must_exist, on_removal=file.on_removal, protect=file.protect, adopt=file.adopt,
        )  # fmt: skip


def _token_file(
    manifest: LoadedManifest, label: str, token: AclToken, where: tuple[str, str], rights: tuple[str | None, str | None, str], place: Place
) -> Desired:
    """A file shares its token's options: what becomes of the one becomes of the other."""
    (host, path), (owner, group, mode) = where, rights
    needed = Address.of("acl-token", label)
    fields: dict[str, Value] = {"token": Reference(needed, "secret_id"), "mode": mode}
    fields |= {k: v for k, v in (("owner", owner), ("group", group)) if v is not None}
    return Desired(
        Address.of("file", host, path.removeprefix("/")), System("host", host), fields, label, place,
        needs=frozenset({needed}) | owners(manifest, host, owner, group) | _home(manifest, host, path), must_exist=frozenset({needed}),
        on_removal=token.on_removal, protect=token.protect, adopt=token.adopt,
    )  # fmt: skip


def _home(manifest: LoadedManifest, host: str, path: str) -> frozenset[Address]:
    """The folders of gateways that a file lies in, or in a folder above them, which may be made with them."""
    folder = path.rpartition("/")[0] + "/"
    near = (p for p in processes(manifest) if p.host == host and folder != "/")
    return frozenset(p.address("directory") for p in near if folder.startswith(p.directory + "/") or p.directory.startswith(folder))


def _bytes(fields: Mapping[str, Value]) -> Secret | bytes:
    key = "token" if "token" in fields else "content"
    content = fields[key]
    if isinstance(content, Hidden):
        raise Rejected(f"its content may not be read, so it cannot be written anew: {content.why}")
    if isinstance(content, str):
        return content.encode("utf-8", "surrogateescape")
    if not isinstance(content, Secret):
        raise Rejected("its content is not known")
    return Secret(content.reveal() + "\n") if key == "token" else content


def _live(want: Wanted, state: FileState) -> Live:
    said = want.desired.fields if want.desired else want.record.specification if want.record else {"token": None}
    key = "token" if "token" in said else "content"
    fields: dict[str, Value] = {
        key: _content(state, key, shown=isinstance(said.get(key), str | Digest) and int(state.mode, 8) & 0o004 != 0),
        "owner": as_written(want, "owner", state.owner, state.uid),
        "group": as_written(want, "group", state.group, state.gid),
        "mode": state.mode,
    }
    foreign = f"is {state.special}, not a file" if state.special else ""
    return Live(want.address, fields, witness=list(state.witness), foreign=foreign, outputs={"version": version(state)})


def _content(state: FileState, key: str, *, shown: bool) -> Value:
    """What others may not read is not shown either, whatever the manifest says."""
    if state.content is None:
        return Hidden(state.why)
    text = state.content.decode("utf-8", "surrogateescape")
    return Secret(text.removesuffix("\n")) if key == "token" else text if shown else Secret(text)

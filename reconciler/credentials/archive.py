"""The archive without its encryption: an uncompressed ustar tar, bytes to members and back.

Everything is bounded before it is looked at: the whole, the number of members, each of them. Its headers are looked at here before the library sees
them: it recurses for every extended one, and takes long over what some say. Only regular files are taken, under names that lead nowhere else.
Members that are not known are kept, because a newer service-discover may have more. Names are compared exactly, as it does.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret

GOSSIP_KEY: Final = "gossip-key"
ACL_TOKEN: Final = "consul-acl-secret.json"  # noqa: S105  # its name
CA: Final = "var/lib/service-discover/consul-agent-ca.pem"
CA_KEY: Final = "var/lib/service-discover/consul-agent-ca-key.pem"
MEMBERS: Final = (GOSSIP_KEY, ACL_TOKEN, CA, CA_KEY)

LARGEST_BYTES: Final = 1 << 20
"""Of the whole, encrypted or not; a real one has six kilobytes."""
LARGEST_MEMBER_BYTES: Final = 1 << 18
MOST_MEMBERS: Final = 32

_BLOCK_BYTES: Final = 512
_NAME: Final = slice(0, 100)
_SIZE: Final = slice(124, 136)
_TYPE: Final = slice(156, 157)
_OCTAL: Final = re.compile(rb" *([0-7]{0,11})[ \0]*")
_PLAIN: Final = (tarfile.REGTYPE, tarfile.AREGTYPE)
_TYPES: Final = {
    tarfile.DIRTYPE: "a directory",
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a link",
    tarfile.FIFOTYPE: "a device or a pipe",
    tarfile.CHRTYPE: "a device or a pipe",
    tarfile.BLKTYPE: "a device or a pipe",
}
"""What the type of an entry says; others are extensions of pax and GNU, which service-discover does not write: it writes ustar."""

_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive. ``mode`` as in ``0o600``; ``content`` is masked, whatever it is."""

    name: str
    mode: int
    content: Secret

    @property
    def bytes(self) -> bytes:
        """The content as it is. Only for what writes an archive or reads a certificate."""
        return self.content.reveal().encode("utf-8", "surrogateescape")

    @property
    def size_bytes(self) -> int:
        """How large it is."""
        return len(self.bytes)


@dataclass(frozen=True, slots=True)
class Archive:
    """The members by name, in the order of the archive."""

    members: Mapping[str, Member]

    @classmethod
    def of(cls, contents: Mapping[str, bytes]) -> Archive:
        """An archive with these members, readable by their owner alone."""
        return cls({name: Member(name, 0o600, _secret(content)) for name, content in contents.items()})

    def missing(self) -> tuple[str, ...]:
        """The members that service-discover needs for set-up and that are not there."""
        return tuple(name for name in MEMBERS if name not in self.members)

    def member(self, name: str) -> Member:
        """One member. Raises ReconcilerError when there is none of exactly that name."""
        found = self.members.get(name)
        if found is None:
            raise ReconcilerError(f"lacks {name}, it has {_named(self.members)}: get an archive that service-discover wrote")
        return found

    def token(self) -> dict[str, Any]:
        """The bootstrap token as Consul gave it; of its fields only ``SecretID`` is sure, a :class:`Secret` here. Raises ReconcilerError."""
        content = self.member(ACL_TOKEN).bytes
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            raise ReconcilerError(f"holds no JSON in {ACL_TOKEN}: get an archive that service-discover wrote") from None
        secret = body.get("SecretID") if isinstance(body, dict) else None
        if not isinstance(secret, str) or not secret:
            raise ReconcilerError(f"holds no SecretID in {ACL_TOKEN}: get an archive that service-discover wrote")
        return {**body, "SecretID": Secret(secret)}

    def secret_id(self) -> Secret:
        """What ``service-discover bootstrap-token`` prints. Raises ReconcilerError."""
        secret: Secret = self.token()["SecretID"]
        return secret


def unpack(content: bytes) -> Archive:
    """The archive in a tar. Raises ReconcilerError, beginning with a verb, for what no cluster archive is; nothing is unpacked then."""
    for magic, name in _COMPRESSED.items():
        if content.startswith(magic):
            raise ReconcilerError(f"holds a tar compressed with {name}, which service-discover does not read: it was not expanded")
    if len(content) > LARGEST_BYTES:
        raise ReconcilerError(f"holds more than {LARGEST_BYTES:,} bytes, which no cluster archive does")
    _demand_plain(content)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            members: dict[str, Member] = {}
            for entry in tar:
                _refuse(entry, members)
                file = tar.extractfile(entry)
                assert file is not None, "it is a regular file"
                read = file.read(LARGEST_MEMBER_BYTES + 1)
                if len(read) != entry.size:
                    raise ReconcilerError("holds a tar that is cut off: get an undamaged copy")
                members[entry.name] = Member(entry.name, entry.mode & 0o777, _secret(read))
    except (tarfile.TarError, EOFError, ValueError, OverflowError):
        raise ReconcilerError("holds no tar: give the cluster archive") from None
    if not members:
        raise ReconcilerError("is empty inside: get an archive that service-discover wrote")
    return Archive(members)


def _demand_plain(content: bytes) -> None:
    """Raise for a tar with any entry but plain files, without reading one."""
    for header in _headers(content):
        if header[_TYPE] not in _PLAIN:
            what = _TYPES.get(header[_TYPE], "an extended header or a sparse file")
            name = header[_NAME].partition(b"\0")[0].rstrip(b"/").decode("utf-8", "surrogateescape")
            raise ReconcilerError(f"holds {_shown(name)}, which is {what} and no plain file: do not use it")


def _headers(content: bytes) -> Iterator[bytes]:
    """The blocks that say what comes next, up to the block of zeros that ends a tar, or to the end."""
    at = 0
    while len(header := content[at : at + _BLOCK_BYTES]) == _BLOCK_BYTES and any(header):
        size = _OCTAL.fullmatch(header[_SIZE])
        if size is None:
            raise ReconcilerError("holds no tar: give the cluster archive")
        yield header
        at += _BLOCK_BYTES * (1 - -int(size[1] or b"0", 8) // _BLOCK_BYTES)


def _refuse(entry: tarfile.TarInfo, so_far: Mapping[str, Member]) -> None:
    """Raise for an entry that has no place in a cluster archive, before anything of it is read."""
    name = entry.name
    if name.startswith("/") or ".." in name.split("/"):
        raise ReconcilerError(f"holds {_shown(name)}, a name that leads out of the archive: do not use it")
    if not entry.isreg():  # so the library takes a plain file whose name ends in a slash
        raise ReconcilerError(f"holds {_shown(name)}, which is a directory and no plain file: do not use it")
    if entry.size > LARGEST_MEMBER_BYTES:
        raise ReconcilerError(f"holds {_shown(name)} with {entry.size:,} bytes, which is too large for a cluster archive: do not use it")
    if name in so_far:
        raise ReconcilerError(f"holds {_shown(name)} twice: do not use it")
    if len(so_far) >= MOST_MEMBERS:
        raise ReconcilerError(f"holds more than {MOST_MEMBERS} files, which no cluster archive does: do not use it")


def pack(archive: Archive) -> bytes:
    """The tar as service-discover writes it: ustar, owned by 0:0 without names, times of 0."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
        for member in archive.members.values():
            entry = tarfile.TarInfo(member.name)
            entry.size, entry.mode = member.size_bytes, member.mode
            tar.addfile(entry, io.BytesIO(member.bytes))
    return target.getvalue()


def _secret(content: bytes) -> Secret:
    return Secret(content.decode("utf-8", "surrogateescape"))


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 100 else name[:100] + "...")


def _named(names: Iterable[str]) -> str:
    return ", ".join(_shown(name) for name in names)

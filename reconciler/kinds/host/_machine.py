"""What all kinds of things on a machine share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

from reconciler.model.address import Address
from reconciler.model.kind import Permission, Wanted
from reconciler.model.resource import Desired, Live, SystemType
from reconciler.systems.host import Facts, FileState, Host, Inquiry

ACCOUNTS: Final = """
[ -w /etc ] || fault denied "accounts cannot be changed: /etc is read-only, or this is not root: log in as root, or write sudo: true under hosts"
"""
"""Before a script that changes accounts: what useradd and its like say of this is that they cannot lock a file."""


class OnMachine:
    """A kind whose resources are named by a host and a name on it, and are found out with the others of that host."""

    name: ClassVar[str]
    system: ClassVar[SystemType] = "host"
    replaces: ClassVar[bool] = False
    is_rendered: ClassVar[bool] = True

    def address(self, *segments: str) -> Address:
        """A host and a name; of a path without its first slash."""
        return Address.of(self.name, *segments)

    def permissions(self, wanted: Wanted, *, write: bool) -> Iterable[Permission]:
        """None in Consul."""
        del wanted, write
        return ()

    def asks(self, wanted: Sequence[Wanted]) -> Inquiry:
        """What must be known of the machine."""
        raise NotImplementedError

    def told(self, wanted: Sequence[Wanted], facts: Facts) -> Iterable[Live]:
        """What is live, by what is known."""
        raise NotImplementedError

    def read(self, system: Host, wanted: Sequence[Wanted]) -> Iterable[Live]:
        """All in one call."""
        return self.told(wanted, system.inquire(self.asks(wanted)))


def path_of(address: Address) -> str:
    """The absolute path that an address names."""
    return "/" + address.segments[1]


def as_written(want: Wanted, key: str, name: str, number: int) -> str:
    """An owner or group by its number, where the manifest or the record has it so: ``"1000"`` is the same as the name of that account."""
    written = [fields.get(key) for fields in (want.desired and want.desired.fields, want.record and want.record.specification) if fields]
    return next((str(said) for said in written if said in (name, str(number))), name)


def once(desired: Iterable[Desired]) -> Iterator[Desired]:
    """Each address once: gateways may share an account."""
    seen: set[Address] = set()
    for one in desired:
        if one.address not in seen:
            seen.add(one.address)
            yield one


def version(state: FileState) -> str:
    """When it was written, in ns since 1970, and which file of that name it is."""
    inode, _, modified = state.witness
    return f"{modified}-{inode}"

"""``os-user/HOST/NAME``: the system account that a gateway's process runs as. It has no home, no password and no login shell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from reconciler.kinds.host._gateway import processes
from reconciler.kinds.host._machine import ACCOUNTS, OnMachine, once
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.field_rules import FieldRules
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Desired, Live
from reconciler.systems.host import Facts, Host, Inquiry

_NO_LOGIN: Final = "/sbin/nologin"
_CREATE: Final = """
getent passwd "$1" >/dev/null && fault exists "the account $1 exists already"
useradd --system --no-create-home --gid "$2" --shell "$3" -- "$1" >&2 && id -u -- "$1"
"""
_UPDATE: Final = """
usermod --gid "$2" --shell "$3" -- "$1" >&2 && id -u -- "$1"
"""
_DELETE: Final = """
getent passwd "$1" >/dev/null || exit 0
gid=$(getent group "$1" | cut -d: -f3)
userdel -- "$1" || exit 1
[ -z "$gid" ] || getent group "$1" >/dev/null || groupadd --system --gid "$gid" -- "$1"
"""
"""userdel may take along the group of the same name (USERGROUPS_ENAB in login.defs), which is a resource of its own and perhaps not ours."""


class OsUser(OnMachine):
    """Accounts."""

    name: ClassVar[str] = "os-user"
    covers: ClassVar[frozenset[str]] = frozenset()
    rules: ClassVar[FieldRules] = FieldRules()

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """One for each gateway's process; several may share one."""
        return once(
            Desired(
                p.address(self.name), p.system, {"group": p.group, "shell": _NO_LOGIN}, p.name, p.place, needs=frozenset({p.address("os-group")}),
                on_removal=p.gateway.on_removal, protect=p.gateway.protect, adopt=p.gateway.adopt,
            )
            for p in processes(manifest)
        )  # fmt: skip

    def asks(self, wanted: Sequence[Wanted]) -> Inquiry:
        """By name."""
        return Inquiry(users=frozenset(w.address.segments[1] for w in wanted))

    def told(self, wanted: Sequence[Wanted], facts: Facts) -> Iterable[Live]:
        """Its primary group and its shell, and its number."""
        for want in wanted:
            state = facts.users.get(want.address.segments[1])
            if state is not None:
                yield Live(want.address, {"group": state.group, "shell": _usual(state.shell)}, incarnation=str(state.uid))

    def create(self, system: Host, order: Order) -> Made:
        """With a number that the machine chooses."""
        return self._write(system, _CREATE, order)

    def update(self, system: Host, order: Order) -> Made:
        """Another primary group or shell."""
        return self._write(system, _UPDATE, order)

    def delete(self, system: Host, order: Order) -> None:
        """The system refuses while a process runs as it."""
        system.run(ACCOUNTS + _DELETE, order.address.segments[1])

    def _write(self, system: Host, script: str, order: Order) -> Made:
        return Made(system.run(ACCOUNTS + script, order.address.segments[1], str(order.fields["group"]), str(order.fields["shell"])).strip())


KIND = OsUser()


def _usual(shell: str) -> str:
    """``/usr/sbin/nologin`` is the same program."""
    return _NO_LOGIN if shell.endswith("/nologin") else shell

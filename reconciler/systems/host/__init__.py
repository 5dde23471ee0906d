"""Machines: their files, accounts and units. :class:`LocalHost` is the one that this program runs on, :class:`RemoteHost` one behind SSH."""

from reconciler.systems.host.entering import ENTER
from reconciler.systems.host.local import LocalHost
from reconciler.systems.host.paths import temporary_name
from reconciler.systems.host.remote import RemoteHost
from reconciler.systems.host.rendering import RenderingHost
from reconciler.systems.host.shell import MACHINE_ID_FILES, LocalShell
from reconciler.systems.host.ssh import SshSettings, SshShell
from reconciler.systems.host.states import Facts, FileState, FolderState, GroupState, Host, Inquiry, UnitState, UserState
from reconciler.systems.host.tunnel import Tunnel

__all__ = [
    "ENTER",
    "MACHINE_ID_FILES",
    "Facts",
    "FileState",
    "FolderState",
    "GroupState",
    "Host",
    "Inquiry",
    "LocalHost",
    "LocalShell",
    "RemoteHost",
    "RenderingHost",
    "SshSettings",
    "SshShell",
    "Tunnel",
    "UnitState",
    "UserState",
    "temporary_name",
]

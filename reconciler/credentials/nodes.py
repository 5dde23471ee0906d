"""Another node of the mesh: the archive on it, and service-discover's set-up, whose questions are answered on a terminal (docs/credentials.md).

A set-up that was begun and has not come to its end leaves a mark beside the archive. Only where that is, what set-up has written may be removed.
"""

from __future__ import annotations

import posixpath
import time
from dataclasses import dataclass
from typing import Final

from reconciler.credentials.node import ARCHIVE
from reconciler.credentials.sources import digest_of
from reconciler.model.errors import OutcomeUnknown, Rejected, SystemFault
from reconciler.model.secret import Secret
from reconciler.systems.dialogue import Question, can_be_typed
from reconciler.systems.host import Facts, FileState, Host, Inquiry

FOLDER: Final = str(ARCHIVE.parent)
HOME: Final = "/var/lib/service-discover"
UNIT: Final = "service-discover"
PROGRAM: Final = "service-discover"
SET_UP: Final = (PROGRAM, "setup-wizard")
"""The wizard, because ``service-discover setup`` takes a password from its arguments only, which everybody on the machine can see."""

_MAIN: Final = "main.json"
_MARK: Final = f"{ARCHIVE.name}.set-up-begun"
_OWNER: Final = "root"
_MODE: Final = "0600"
ACCESS: Final = f"{_MODE} {_OWNER}:{_OWNER}"
"""Who may read an archive: mode, owner and group."""

_STOP_S: Final = 180.0
_TO_ASK_S: Final = 60.0
_TO_SET_UP_S: Final = 600.0
_TO_JOIN_S: Final = 90.0
_INTERVAL_S: Final = 0.5

_ADDRESS: Final = r"""
[ -r "$1/config.json" ] && sed -n 's/.*"bind_addr"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$1/config.json" && exit 0
hostname -I
"""
_NAME: Final = r"""
sed -n 's/.*"node_name"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$1/main.json" | head -n 1
"""
_ALONE: Final = r"""
folder=$1
exec 9<"$folder" || exit 1
flock -n 9 || fault unknown "the set-up that was begun earlier is still at work: wait until it has ended, and run again"
"""
_SET_UP: Final = (
    _ALONE
    + r"""
mark=$2; shift 2
command -v "$1" >/dev/null || fault rejected "there is no $1 on this machine: install the package of that name"
[ ! -e "$folder/main.json" ] || fault exists "it is set up already: $folder/main.json is there"
: >"$folder/$mark" || exit 1
trap '' HUP  # it goes on when whoever started it is gone
stty -echo 2>/dev/null
"$@"; status=$?
# it has written nothing yet that a next one would stumble over
[ "$status" = 0 ] || [ -e "$folder/main.json" ] || rm -f "$folder/$mark"
exit "$status"
"""
)
_CLEAR: Final = (
    _ALONE
    + r"""
home=$2 unit=$3
systemctl stop "$unit" || exit 1
rm -f "$home"/*.pem "$folder/main.json" "$folder/config.json"
"""
)


@dataclass(frozen=True, slots=True)
class NodeState:
    """What there is on a machine. ``is_set_up``: set-up has written its configuration. ``is_unfinished``: a set-up of ours, that did not end well,
    has.
    """

    archive: FileState | None
    is_set_up: bool
    is_unfinished: bool
    has_folder: bool
    has_program: bool

    @property
    def digest(self) -> str:
        """That of its archive; empty where there is none, or none that can be read."""
        return digest_of(self.archive.content) if self.archive is not None and self.archive.content is not None else ""

    @property
    def access(self) -> str:
        """Who may read its archive, as :data:`ACCESS`; empty where there is none."""
        return f"{self.archive.mode} {self.archive.owner}:{self.archive.group}" if self.archive is not None else ""


def asked() -> Inquiry:
    """What must be known of a machine."""
    return Inquiry(files=frozenset({str(ARCHIVE)}), folders=frozenset({FOLDER}), programs=frozenset({(PROGRAM, "version")}))


def told(facts: Facts) -> NodeState:
    """The answer."""
    folder = facts.folders.get(FOLDER)
    names = folder.entries if folder is not None else ()
    has_folder = folder is not None and not folder.special
    return NodeState(facts.files.get(str(ARCHIVE)), _MAIN in names, _MAIN in names and _MARK in names, has_folder, PROGRAM in facts.programs)


def look(host: Host) -> NodeState:
    """Ask one machine. Raises a SystemFault."""
    return told(host.inquire(asked()))


def put_archive(host: Host, sealed: bytes, path: str = str(ARCHIVE), *, seen: FileState | None) -> FileState:
    """Write the archive as it is, for root alone, in the place of ``seen``. Raises a SystemFault; LostRace when something else came to be there."""
    replacing = seen.witness if seen is not None else None
    return host.write(path, sealed, owner=_OWNER, group=_OWNER, mode=_MODE, exclusive=seen is None, replacing=replacing)


def differs(seen: FileState | None, sealed: bytes) -> str:
    """In what the file at the archive's place is not as it should be, in words; empty for nothing."""
    if seen is None:
        return "it is not there"
    if seen.special:
        return f"it is {seen.special}"
    if seen.content is None:
        return seen.why
    access = f"{seen.mode} {seen.owner}:{seen.group}"
    return "it is another one" if seen.content != sealed else "" if access == ACCESS else f"it is {access}"


def own_address(host: Host) -> str:
    """The address that its agent had, or else its only one. Raises Rejected when it has several, or none."""
    found = host.run(_ADDRESS, FOLDER).split()
    addresses = [address for address in found if ":" not in address] or found
    if len(addresses) != 1:
        which = f"several addresses ({', '.join(addresses)})" if addresses else "no address"
        raise Rejected(f"{host.name}: it has {which}: write address: into its entry")
    return addresses[0]


def set_up(host: Host, address: str, password: Secret) -> None:
    """Set a machine up that is not, and wait until it is a member.

    Raises Rejected when set-up refused before it changed anything, and OutcomeUnknown when it is to be done again from its beginning.
    """
    if not can_be_typed(password):
        raise Rejected(f"{host.name}: the archive's password has a control character, which cannot be typed on the terminal of {PROGRAM}")
    answers = [Question("address", address), Question("password", password)]
    try:
        host.converse(_SET_UP, FOLDER, _MARK, *SET_UP, questions=answers, to_ask_s=_TO_ASK_S, to_end_s=_TO_SET_UP_S)
    except Rejected as fault:
        if look(host).is_unfinished:
            raise OutcomeUnknown(f"{fault}: {' '.join(SET_UP)} has not come to its end: put that right, and run again, it is done anew") from fault
        raise
    await_member(host)


def clear(host: Host) -> None:
    """Stop service-discover, and remove what its set-up has written. Raises a SystemFault."""
    host.run(_CLEAR, FOLDER, HOME, UNIT, timeout_s=_STOP_S)


def bring_in(host: Host, address: str, password: Secret, *, is_unfinished: bool) -> None:
    """Set a machine up, from its beginning where an earlier set-up of ours did not end well. Raises as :func:`set_up`."""
    if is_unfinished:
        host.run(_ALONE, FOLDER)
        if is_member(host):
            await_member(host)
            return
        clear(host)
    set_up(host, address, password)


def renew(host: Host, sealed: bytes, address: str, password: Secret) -> None:
    """Have a machine that was set up with other credentials set up with these. Raises as :func:`set_up`."""
    state = look(host)
    if differs(state.archive, sealed):
        put_archive(host, sealed, seen=state.archive)
    if state.is_set_up and not state.is_unfinished:
        clear(host)
    bring_in(host, address, password, is_unfinished=state.is_unfinished)


def is_member(host: Host) -> bool:
    """Whether it is a member now."""
    try:
        return not _lacks(host)
    except SystemFault:
        return False


def await_member(host: Host) -> None:
    """Wait until a machine that was set up is a member; then its set-up has ended well. Raises OutcomeUnknown when it is not in time."""
    deadline = time.monotonic() + _TO_JOIN_S
    while lacking := _lacking(host):
        if time.monotonic() > deadline:
            why = f"it was set up, and has not come back as a member within {_TO_JOIN_S:g} s: {lacking}"
            raise OutcomeUnknown(f"{host.name}: {why}: see journalctl -u {UNIT} there, and run again")
        time.sleep(_INTERVAL_S)
    host.remove(posixpath.join(FOLDER, _MARK))


def _lacking(host: Host) -> str:
    try:
        return _lacks(host)
    except SystemFault as fault:
        return str(fault)


def _lacks(host: Host) -> str:
    name = host.run(_NAME, FOLDER).strip()
    return host.agent.lacks_of_member(name) if name else f"{FOLDER}/{_MAIN} has no node_name"

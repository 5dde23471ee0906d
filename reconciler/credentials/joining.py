"""How a machine becomes a member of the mesh: service-discover's set-up, whose questions are answered on a terminal (docs/credentials.md).

A mark beside the archive says with which archive a set-up of ours was begun and, when it has ended, with which status. It goes when the machine is
seen as a member. What set-up has written is removed only where there is such a mark that says no success, and the machine is certainly no member.
"""

from __future__ import annotations

import posixpath
import time
from dataclasses import dataclass
from typing import Final

from reconciler.credentials.members import FOLDER, HOME, MARK, PROGRAM, UNIT, differs, look, put_archive
from reconciler.credentials.sources import digest_of
from reconciler.model.errors import OutcomeUnknown, PartlyDone, Rejected, SystemFault, Unreachable
from reconciler.model.secret import Secret
from reconciler.systems.dialogue import Question, can_be_typed
from reconciler.systems.host import ENTER, Host, temporary_name

SET_UP: Final = (PROGRAM, "setup-wizard")
"""The wizard, because ``service-discover setup`` takes a password from its arguments only, which everybody on the machine can see."""

_PLACES: Final = (FOLDER, HOME, MARK)
_STOP_S: Final = 180.0
_TO_ASK_S: Final = 60.0
_TO_SET_UP_S: Final = 600.0
_TO_JOIN_S: Final = 90.0
_INTERVAL_S: Final = 0.5

_ENTERED: Final = (
    ENTER
    + r"""
folder=$1 home=$2 mark=$3; shift 3
enter "$folder" "$folder/$mark"
exec 9<. || exit 1
flock -n 9 || fault unknown "the set-up that was begun earlier is still at work: wait until it has ended, and run again"
"""
)
_SET_UP: Final = (
    _ENTERED
    + r"""
temporary=$1 archive=$2; shift 2
command -v "$1" >/dev/null || fault rejected "there is no $1 on this machine: install the package of that name"
[ ! -e ./main.json ] || fault exists "it is set up already: $folder/main.json is there"
note() {  # the folder may be the service's own: nothing in it is followed
    rm -f -- "./$temporary"
    (umask 077; set -C; printf '%s\n' "$@" >"./$temporary") && mv -fT -- "./$temporary" "./$mark"
}
certificates() { stat -c '%n %i %.9Y' -- "$home"/*.pem 2>/dev/null; }
before=$(certificates)
note "$archive" || exit 1
trap '' HUP  # it goes on when whoever started it is gone
stty -echo 2>/dev/null
(cd / && exec "$@"); status=$?
if [ "$status" != 0 ] && [ ! -e ./main.json ] && [ "$(certificates)" = "$before" ]; then
    rm -f -- "./$mark"  # it has written nothing that a next one would stumble over
else note "$archive" "$status"; fi
exit "$status"
"""
)
_CLEAR: Final = (
    _ENTERED
    + r"""
systemctl stop "$1" || exit 1
rm -f -- "$home"/*.pem ./main.json ./config.json || exit 1
rm -f -- "./$mark"
"""
)
_STANDING: Final = r"""
printf '%s\n' "$(systemctl is-active "$2")"
[ -e "$1/main.json" ] || exit 0
names=$(sed -n 's/.*"node_name"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$1/main.json") || exit 1
printf '%s\n' "$names" | head -n 1
"""


@dataclass(frozen=True, slots=True)
class _Lack:
    """What a machine lacks to be a member, in words; empty when it is one. ``is_answer``: its agent says so; otherwise that could not be asked.

    ``is_final``: it cannot come to be one by waiting, because nothing runs there that could join.
    """

    what: str
    is_answer: bool = True
    is_final: bool = False


def demand_typable(name: str, password: Secret) -> None:
    """Raises Rejected for a password that cannot be given to set-up."""
    if not can_be_typed(password):
        raise Rejected(f"{name}: the archive's password has a control character, which cannot be typed on the terminal of {PROGRAM}")


def bring_in(host: Host, archive: str, address: str, password: Secret, *, is_unfinished: bool) -> None:
    """Set a machine up and wait until it is a member; after an earlier set-up of ours that did not end well, from its beginning.

    ``archive`` is the digest of the one that lies there. Raises PartlyDone when it is to be gone on with or done again, and another SystemFault, as a
    rule before anything was changed.
    """
    if is_unfinished:
        host.run(_ENTERED, *_PLACES)
        state = look(host)  # it may have ended only now
        if state.mark is not None and not (state.mark.is_complete and not state.has_configuration):
            if state.mark.is_complete or _is_member_after_all(host):
                _await_member(host)
                return
            _clear(host)
    _set_up(host, archive, address, password)


def renew(host: Host, sealed: bytes, address: str, password: Secret) -> None:
    """Have a machine that was set up with other credentials set up with these. Raises as :func:`bring_in`."""
    state, archive = look(host), digest_of(sealed)
    if differs(state.archive, sealed):
        put_archive(host, sealed, seen=state.archive)
    is_ours = state.mark is not None and state.mark.archive == archive
    if not is_ours and (state.has_configuration or state.mark is not None):
        _clear(host)
    bring_in(host, archive, address, password, is_unfinished=is_ours)


def _set_up(host: Host, archive: str, address: str, password: Secret) -> None:
    demand_typable(host.name, password)
    answers = [Question("address", address), Question("password", password)]
    arguments = (*_PLACES, temporary_name(MARK), archive, *SET_UP)
    try:
        host.converse(_SET_UP, *arguments, questions=answers, to_ask_s=_TO_ASK_S, to_end_s=_TO_SET_UP_S)
    except (OutcomeUnknown, Unreachable):
        raise
    except SystemFault as fault:
        if look(host).mark is not None:
            raise PartlyDone(f"{fault}: {' '.join(SET_UP)} has not come to its end: put that right, and run again, it is done anew") from fault
        raise
    _await_member(host)


def _clear(host: Host) -> None:
    """Stop service-discover, and remove what its set-up has written."""
    host.run(_CLEAR, *_PLACES, UNIT, timeout_s=_STOP_S)


def _is_member_after_all(host: Host) -> bool:
    """Whether a machine has become a member though its set-up did not end well; somebody may have put that right.

    It certainly is none when nothing runs there, or when its agent has said so for as long as joining may take. Raises Unreachable when that cannot
    be found out.
    """
    deadline = time.monotonic() + _TO_JOIN_S
    while (lack := _lack(host)).what and not lack.is_final:
        if time.monotonic() > deadline:
            if lack.is_answer:
                return False
            why = f"{host.name}: its set-up has not come to its end, and it cannot be told whether it is a member: {lack.what}"
            raise Unreachable(f"{why}: if it is none, systemctl stop {UNIT} there, and run again, it is done anew")
        time.sleep(_INTERVAL_S)
    return not lack.what


def _await_member(host: Host) -> None:
    """Wait until a machine that was set up is a member; then its set-up has ended well. Raises PartlyDone when it is not in time."""
    deadline = time.monotonic() + _TO_JOIN_S
    while lacking := _lacking(host):
        if time.monotonic() > deadline:
            why = f"it was set up, and has not come back as a member within {_TO_JOIN_S:g} s: {lacking}"
            raise PartlyDone(f"{host.name}: {why}: see journalctl -u {UNIT} there, and run again")
        time.sleep(_INTERVAL_S)
    host.remove(posixpath.join(FOLDER, MARK))


def _lacking(host: Host) -> str:
    try:
        return _lack(host).what
    except SystemFault as fault:
        return str(fault)


def _lack(host: Host) -> _Lack:
    """Raises a SystemFault when the machine itself could not be asked."""
    unit, _, name = host.run(_STANDING, FOLDER, UNIT).partition("\n")
    if not name.strip():
        return _Lack(f"{FOLDER}/main.json is not there, or has no node_name", is_final=True)
    if unit in ("inactive", "failed"):
        return _Lack(f"the unit {UNIT} is {unit}", is_final=True)
    try:
        return _Lack(host.agent.lacks_of_member(name.strip()))
    except SystemFault as fault:
        return _Lack(str(fault), is_answer=False)

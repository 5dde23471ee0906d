"""A machine behind a shell: what it is asked goes in one script, and so does each thing that is done to it.

Files obey the same rules as on this machine (:mod:`~reconciler.systems.host.local`): whole or not at all, never readable by others on the way. The
content arrives on standard input and its length as an argument, so a connection that is cut leaves the old file, and nothing beside it. The folder
is entered first and everything is named relative to it, so nobody can put another in its place meanwhile.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from reconciler.model.errors import Rejected
from reconciler.model.secret import Secret
from reconciler.systems.dialogue import Question
from reconciler.systems.host.entering import ENTER
from reconciler.systems.host.inquiry import file_state, inquire
from reconciler.systems.host.paths import NAME_BYTES, temporary_name
from reconciler.systems.host.shell import TIMEOUT_S, Shell, demand_identity, printed, said
from reconciler.systems.host.states import Agent, Facts, FileState, Inquiry, NoAgent

_NOTHING: Final = "-"
"""In an argument's place: leave it as it is."""

_BEGIN: Final = (
    ENTER
    + r"""
path=$1 parent=$2 name=$3 temporary=$4 witness=$5
umask 077
[ -e "$parent" ] || { [ -n "$removing" ] && exit 0; fault rejected "$path: the folder $parent does not exist: create it first"; }
enter "$parent" "$path"
exists() { [ -e "./$name" ] || [ -L "./$name" ]; }
demand_replaceable() {
    what=
    if [ -L "./$name" ]; then what='a symbolic link'
    elif [ -d "./$name" ]; then what='a folder'
    elif exists && [ ! -f "./$name" ]; then what='no regular file'
    fi
    [ -z "$what" ] || fault rejected "$path is $what: name the file itself, or remove that"
    if [ "$witness" != - ]; then
        now=$(stat -c '%i %s %.9Y' -- "./$name" 2>/dev/null) || now=
        [ "$now" = "$witness" ] || fault lost "$path was written by somebody else meanwhile: run again"
    fi
}
"""
)

WRITE: Final = (
    "removing=\n"
    + _BEGIN
    + r"""
owner=$6 group=$7 mode=$8 size=$9 exclusive=${10}
known() {  # as who is said to own it: a name that exists, or a number
    "$@" >/dev/null 2>&1 && return
    case $who in *[!0-9]*) fault rejected "there is no $what '$who': create it first, or correct the name" ;; esac
}
who=$owner what=user; [ "$who" = - ] || known id -u -- "$who"
who=$group what=group; [ "$who" = - ] || known getent group "$who"
if [ -n "$exclusive" ] && exists; then fault exists "$path exists already"; fi
demand_replaceable
rm -f -- "./$temporary"
trap 'rm -f -- "./$temporary"' EXIT
trap 'exit 9' HUP INT TERM PIPE
set -C
said=$( { cat >"./$temporary"; } 2>&1 ) || fault rejected "$path: ${said##*: }"
set +C
[ "$(stat -c %s -- "./$temporary")" = "$size" ] || fault unknown "$path: the connection was cut before its content had come"
if [ "$owner" != - ]; then chown -- "$owner" "./$temporary" || exit 1; fi
if [ "$group" != - ]; then chgrp -- "$group" "./$temporary" || exit 1; fi
chmod -- "$mode" "./$temporary" && sync -- "./$temporary" || exit 1
if [ -n "$exclusive" ]; then
    said=$(ln -T -- "./$temporary" "./$name" 2>&1) || { exists && fault exists "$path exists already"; fault rejected "$path: ${said##*: }"; }
    rm -f -- "./$temporary"
else
    demand_replaceable
    mv -fT -- "./$temporary" "./$name" || exit 1
fi
sync -- .
stat -c '%f %i %s %.9Y %u %g %U %G' -- "./$name"
"""
)

_REMOVE: Final = (
    "removing=yes\n"
    + _BEGIN
    + r"""
if exists; then demand_replaceable; fi
rm -f -- "./$temporary" "./$name" && sync -- .
"""
)


class RemoteHost:
    """A machine that answers through ``shell``."""

    def __init__(self, name: str, shell: Shell, agent: Agent | None = None) -> None:
        self.name = name
        self.agent = agent or NoAgent(name)
        self._shell = shell

    @property
    def identity(self) -> str:
        """Its machine-id."""
        return demand_identity(self.name, self._shell)

    def inquire(self, inquiry: Inquiry) -> Facts:
        """All in one script."""
        return inquire(self.name, self._shell, inquiry)

    def read(self, paths: Iterable[str]) -> Mapping[str, FileState]:
        """The files that exist."""
        return self.inquire(Inquiry(files=frozenset(paths))).files

    def write(
        self, path: str, content: Secret | bytes, *, owner: str | None, group: str | None, mode: str, exclusive: bool = False,
        replacing: Sequence[int] | None = None,
    ) -> FileState:  # fmt: skip
        """Put ``content`` at ``path``, whole."""
        raw = content if isinstance(content, bytes) else content.reveal().encode("utf-8", "surrogateescape")
        more = [owner or _NOTHING, group or _NOTHING, mode, str(len(raw)), "yes" if exclusive else ""]
        output = printed(self.name, self._shell.run(WRITE, [*self._named(path, replacing), *more], raw))
        return file_state(output.decode("ascii", "replace").split())

    def remove(self, path: str, *, replacing: Sequence[int] | None = None) -> None:
        """Remove the file, and what a killed run left beside it."""
        printed(self.name, self._shell.run(_REMOVE, self._named(path, replacing)))

    def run(self, script: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        """Run a script."""
        return printed(self.name, self._shell.run(script, arguments, timeout_s=timeout_s)).decode("utf-8", "replace")

    def converse(self, script: str, *arguments: str, questions: Sequence[Question], to_ask_s: float, to_end_s: float) -> str:
        """Run a script on a terminal."""
        return said(self.name, self._shell.converse(script, arguments, questions, to_ask_s=to_ask_s, to_end_s=to_end_s))

    def close(self) -> None:
        """End the connection."""
        self._shell.close()

    def _named(self, path: str, replacing: Sequence[int] | None) -> list[str]:
        parent, name = posixpath.split(path)
        if len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES:
            raise Rejected(f"{self.name}: {path}: the name is longer than {NAME_BYTES} bytes")
        return [path, parent, name, temporary_name(name), _witness(replacing)]


def _witness(replacing: Sequence[int] | None) -> str:
    """As ``stat -c '%i %s %.9Y'`` prints it."""
    if replacing is None:
        return _NOTHING
    inode, size, modified = replacing
    return f"{inode} {size} {modified // 1_000_000_000}.{modified % 1_000_000_000:09d}"

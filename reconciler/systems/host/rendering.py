"""A machine that is not there: what would be done to it becomes a script and files, for whoever does it by other means.

The script is made of the very scripts that are run on other machines. What exists is put right where it can be, as an update does.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret
from reconciler.systems.dialogue import Question
from reconciler.systems.host.paths import temporary_name
from reconciler.systems.host.remote import WRITE
from reconciler.systems.host.shell import PREAMBLE, TIMEOUT_S
from reconciler.systems.host.states import Facts, FileState, Inquiry, NoAgent

_HEAD: Final = """\
#!/bin/sh
# {title}
# Run it as root, again whenever it was made anew: what is there already is put right.
set -u
here=$(cd -- "$(dirname -- "$0")" && pwd) || exit 1
[ "$(id -u)" = 0 ] || {{ echo 'run this as root' >&2; exit 1; }}

try() {{  # ADDRESS CREATE UPDATE: each a script; its parameters follow
    address=$1 create=$2 update=$3; shift 3
    said=$(sh -c "$common$create" reconciler "$@" 2>&1) && {{ echo "$address: made"; return; }}
    case $said in *'reconciler: exists: '*) ;; *) echo "$address: $said" >&2; exit 1 ;; esac
    [ -n "$update" ] || {{ echo "$address: there"; return; }}
    said=$(sh -c "$common$update" reconciler "$@" 2>&1) || {{ echo "$address: $said" >&2; exit 1; }}
    echo "$address: put right"
}}
place() {{  # ADDRESS SOURCE PATH FOLDER NAME TEMPORARY OWNER GROUP MODE
    address=$1 source=$here/$2; shift 2
    [ -f "$source" ] || {{ echo "$address: $source is missing: its content is a secret, put it there first" >&2; exit 1; }}
    said=$(sh -c "$common$write" reconciler "$1" "$2" "$3" "$4" - "$5" "$6" "$7" "$(wc -c <"$source")" '' <"$source" 2>&1) || {{
        echo "$address: $said" >&2; exit 1
    }}
    echo "$address: written"
}}
"""


class RenderingHost:
    """Takes down what is done to it. ``files`` are contents by their path below the script's folder; ``secrets`` such paths without a content."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.agent = NoAgent(name)
        self.files: dict[str, bytes] = {}
        self.secrets: list[str] = []
        self._lines: list[str] = []
        self._scripts: list[tuple[str, tuple[str, ...]]] = []

    @property
    def identity(self) -> str:
        """It has none."""
        raise ReconcilerError(f"host {self.name} is only written about")

    def inquire(self, inquiry: Inquiry) -> Facts:
        """It has nothing."""
        del inquiry
        return Facts()

    def read(self, paths: Iterable[str]) -> Mapping[str, FileState]:
        """It has no files."""
        del paths
        return {}

    def write(
        self, path: str, content: Secret | bytes, *, owner: str | None, group: str | None, mode: str, exclusive: bool = False,
        replacing: Sequence[int] | None = None,
    ) -> FileState:  # fmt: skip
        """A file below ``files``, and a line of the script that puts it in its place. A secret is left for others to put there."""
        del exclusive, replacing
        source = f"files{path}"
        if isinstance(content, bytes):
            self.files[source] = content
        else:
            self.secrets.append(source)
        folder, _, name = path.rpartition("/")
        words = ["place", f"file/{self.name}{path}", source, path, folder or "/", name, temporary_name(name), owner or "-", group or "-", mode]
        self._lines += [shlex.join(words), ""]
        return FileState(None, owner or "", group or "", mode, (0, 0, 0), 0, 0)

    def remove(self, path: str, *, replacing: Sequence[int] | None = None) -> None:
        """Nothing is removed from what is only written about."""
        del replacing
        raise ReconcilerError(f"{path} cannot be removed from a host that is only written about")

    def run(self, script: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        """Take it down; it prints nothing."""
        del timeout_s
        self._scripts.append((script, arguments))
        return ""

    def converse(self, script: str, *arguments: str, questions: Sequence[Question], to_ask_s: float, to_end_s: float) -> str:
        """There is nobody to talk to."""
        del script, arguments, questions, to_ask_s, to_end_s
        raise ReconcilerError(f"host {self.name} is only written about")

    def close(self) -> None:
        """Nothing is open."""

    def step(self, address: str, create: Callable[[], object], update: Callable[[], object]) -> None:
        """One resource: what ``create`` runs, and what ``update`` runs where it is there already."""
        made, changed = self._taken_down(create), self._taken_down(update)
        for number, (script, arguments) in enumerate(made):
            other = changed[number][0] if number < len(changed) and changed[number][1] == arguments and changed[number][0] != script else ""
            self._lines += [
                f"create={_text(script)}",
                f"update={_text(other)}",
                f'try {shlex.join([address])} "$create" "$update" {shlex.join(arguments)}',
            ]
            self._lines.append("")

    def script(self, title: str) -> str:
        """All of it, as a program."""
        return "\n".join([_HEAD.format(title=title), f"common={_text(PREAMBLE)}", f"write={_text(WRITE)}", "", *self._lines])

    def _taken_down(self, act: Callable[[], object]) -> list[tuple[str, tuple[str, ...]]]:
        self._scripts = []
        act()
        return self._scripts


def _text(script: str) -> str:
    """A script as a value in the shell, as readable as it is."""
    return f"$(cat <<'END_OF_SCRIPT'\n\n{script.strip()}\nEND_OF_SCRIPT\n)" if script.strip() else "''"

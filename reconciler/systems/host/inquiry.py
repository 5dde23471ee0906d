"""One script that finds out all that is asked of a machine, and the reading of its answers.

The questions go in on standard input, a line each; each answer is one line in the same order, its parts separated by spaces, texts in base64.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.model.errors import AccessDenied, Rejected, SystemFault, Unreachable
from reconciler.systems.host.shell import Shell, printed
from reconciler.systems.host.states import Facts, FileState, FolderState, GroupState, Inquiry, UnitState, UserState

LARGEST_BYTES: Final = 1 << 20
"""How large a file may be to be read and compared."""

_UNIT_PROPERTIES: Final = (
    "LoadState", "ActiveState", "SubState", "UnitFileState", "FragmentPath", "DropInPaths", "Result", "NeedDaemonReload", "NRestarts",
)  # fmt: skip

SCRIPT: Final = r"""
text() { base64 | tr -d '\n'; echo; }
look() {  # the state of a path as stat tells it, or why there is none
    if state=$(stat -c '%f %i %s %.9Y %u %g %U %G' -- "$1" 2>&1); then return 0; fi
    case $state in
        *': No such file or directory' | *': Not a directory') echo absent ;;
        *) printf 'denied '; printf '%s' "${state##*: }" | text ;;
    esac
    return 1
}
entry() {  # a line of an account database
    line=$(getent "$1" "$2"); status=$?
    case $status in
        0) printf 'is '; printf '%s' "$line" | text ;;
        2) echo absent ;;
        *) printf 'denied '; printf 'getent %s ends with status %s' "$1" "$status" | text ;;
    esac
}
while IFS= read -r question; do
    name=${question#* }
    case ${question%% *} in
        systemd) if [ -d /run/systemd/system ]; then echo yes; else echo no; fi ;;
        file)
            look "$name" || continue
            printf 'is %s ' "$state"
            size=${state#* * } size=${size%% *}
            if [ ! -f "$name" ] || [ -L "$name" ]; then echo special
            elif [ "$size" -gt LARGEST ]; then echo large
            elif content=$(dd if="$name" iflag=nofollow status=none | base64) 2>/dev/null && [ -r "$name" ]; then
                printf 'content '; printf '%s' "$content" | tr -d '\n'; echo
            else echo unreadable; fi ;;
        folder)
            look "$name" || continue
            printf 'is %s ' "$state"
            if [ -L "$name" ] || [ ! -d "$name" ]; then echo special
            elif names=$(ls -A -- "$name" 2>/dev/null); then printf 'names '; printf '%s' "$names" | text
            else echo unreadable; fi ;;
        user)
            answer=$(entry passwd "$name")
            case $answer in is\ *) printf '%s ' "$answer"; id -gn -- "$name" | text ;; *) echo "$answer" ;; esac ;;
        group)
            answer=$(entry group "$name")
            case $answer in
                is\ *)
                    number=$(getent group "$name" | cut -d : -f 3)
                    printf '%s ' "$answer"; getent passwd | grep "^[^:]*:[^:]*:[^:]*:$number:" | cut -d : -f 1 | text ;;
                *) echo "$answer" ;;
            esac ;;
        unit)
            if [ ! -d /run/systemd/system ]; then echo absent
            elif shown=$(systemctl show -p PROPERTIES -- "$name" 2>&1); then printf 'is '; printf '%s' "$shown" | text
            else printf 'denied '; printf '%s' "$shown" | text; fi ;;
        package)
            if command -v dpkg-query >/dev/null 2>&1; then
                version=$(dpkg-query -W -f='${db:Status-Status} ${Version}' -- "$name" 2>&1); status=$?
                case $status:$version in
                    0:installed\ *) printf 'is '; printf '%s' "${version#installed }" | text; continue ;;
                    [01]:*) ;;  # 1: there is no such package
                    *) printf 'denied '; printf '%s' "$version" | text; continue ;;
                esac
            elif ! command -v rpm >/dev/null 2>&1; then
                printf 'denied '; printf 'there is neither dpkg nor rpm' | text; continue
            fi
            # without a database, rpm would make one
            database=$(rpm --eval '%{_dbpath}' 2>/dev/null) && [ -e "$database" ] || { echo absent; continue; }
            version=$(rpm -q --qf '%{VERSION}-%{RELEASE} ' -- "$name" 2>&1); status=$?
            case $status:$version in
                0:*) printf 'is '; printf '%s' "${version% }" | text ;;
                *:"package $name is not installed") echo absent ;;
                *) printf 'denied '; printf '%s' "$version" | text ;;
            esac ;;
        program)
            argument=${name%% *} name=${name#* }
            if found=$(command -v -- "$name" 2>/dev/null) && [ -x "$found" ]; then
                printf 'is '; timeout 5 "$found" "$argument" 2>/dev/null </dev/null | text
            else echo absent; fi ;;
        port)
            local=$(printf ':%04X' "$name")  # of the sockets that listen, which are in state 0A (proc(5))
            if cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "^ *[0-9]*: [0-9A-F]*$local [0-9A-F:]* 0A "; then echo yes; else echo no; fi ;;
        pending)
            if [ ! -d "$name" ]; then echo absent
            elif names=$(cd "$name" 2>/dev/null && ls -A); then printf 'names '; printf '%s' "$names" | grep '\.sh$' | text
            else echo unreadable; fi ;;
    esac
done
""".replace("LARGEST", str(LARGEST_BYTES)).replace("PROPERTIES", ",".join(_UNIT_PROPERTIES))


def inquire(host: str, shell: Shell, inquiry: Inquiry) -> Facts:
    """Ask ``shell`` everything at once. Raises a SystemFault, naming the host."""
    done = shell.run(SCRIPT, stdin=asked(inquiry), writes=False)
    try:
        return answered(host, inquiry, printed(host, done))
    except (ValueError, IndexError) as error:
        raise SystemFault(f"{host} answers what its script does not print: see whether its shell prints anything by itself (~/.bashrc)") from error


@dataclass(frozen=True, slots=True)
class _Question:
    what: str
    name: str

    def __str__(self) -> str:
        return f"{self.what} {self.name}"


def questions(inquiry: Inquiry) -> list[_Question]:
    """The questions in the order in which they are asked."""
    asked = [_Question("systemd", "-")]
    for what, names in (
        ("file", inquiry.files), ("folder", inquiry.folders), ("user", inquiry.users), ("group", inquiry.groups), ("unit", inquiry.units),
        ("package", inquiry.packages), ("pending", inquiry.pending),
    ):  # fmt: skip
        asked += [_Question(what, name) for name in sorted(names)]
    asked += [_Question("port", str(port)) for port in sorted(inquiry.ports)]
    return asked + [_Question("program", f"{argument} {name}") for name, argument in sorted(inquiry.programs)]


def asked(inquiry: Inquiry) -> bytes:
    """What goes to the script's standard input."""
    return "".join(f"{question}\n" for question in questions(inquiry)).encode("utf-8", "surrogateescape")


def answered(host: str, inquiry: Inquiry, output: bytes) -> Facts:
    """The facts in the script's output. Raises AccessDenied for what may not be seen, Unreachable when an answer is missing."""
    lines = output.decode("ascii", "replace").splitlines()
    wanted = questions(inquiry)
    if len(lines) != len(wanted):
        raise Unreachable(f"{host} answered {len(lines)} of {len(wanted)} questions: see whether its shell prints anything by itself (~/.bashrc)")
    answers = [(question, line.split(" ")) for question, line in zip(wanted, lines, strict=True)]
    for question, parts in answers:
        if parts[0] == "denied":
            raise AccessDenied(f"{host}: {question.what} {question.name} cannot be looked at: {_text(parts[1]).strip()}")
    found = [(question, parts) for question, parts in answers if parts[0] not in ("absent", "no")]

    def of(what: str) -> Iterator[tuple[str, Sequence[str]]]:
        return ((question.name, parts) for question, parts in found if question.what == what)

    return Facts(
        files={name: _file(name, parts[1:]) for name, parts in of("file")},
        folders={name: _folder(host, name, parts[1:]) for name, parts in of("folder")},
        users={name: _user(_text(parts[1]), _text(parts[2]).strip()) for name, parts in of("user")},
        groups={name: _group(_text(parts[1]), _text(parts[2])) for name, parts in of("group")},
        units={name: _unit(_text(parts[1])) for name, parts in of("unit")},
        packages={name: _text(parts[1]) for name, parts in of("package")},
        programs={name.partition(" ")[2]: _text(parts[1]) for name, parts in of("program")},
        pending={name: tuple(_text(parts[1]).splitlines()) for name, parts in of("pending") if parts[0] == "names"},
        listening=frozenset(int(name) for name, _ in of("port")),
        has_systemd=any(True for _ in of("systemd")),
    )


def witness_of(inode: str, size: str, modified: str) -> tuple[int, int, int]:
    """A file's witness out of ``%i``, ``%s`` and ``%.9Y`` of stat."""
    seconds, _, fraction = modified.partition(".")
    return int(inode), int(size), int(seconds) * 1_000_000_000 + int((fraction or "0").ljust(9, "0")[:9])


def file_state(parts: Sequence[str], content: bytes | None = None, why: str = "") -> FileState:
    """A file out of stat's ``%f %i %s %.9Y %u %g %U %G``."""
    mode, inode, size, modified, uid, gid, owner, group = parts
    return FileState(
        content, _name(owner, uid), _name(group, gid), f"{int(mode, 16) & 0o7777:04o}", witness_of(inode, size, modified), int(uid), int(gid), why,
        _special(int(mode, 16)),
    )  # fmt: skip


def _file(path: str, parts: Sequence[str]) -> FileState:
    state, how = parts[:8], parts[8]
    match how:
        case "content":
            content = base64.b64decode(parts[9] if len(parts) > 9 else "")
            if len(content) != int(state[2]):
                return file_state(state, why=f"{path} was written while it was read")
            return file_state(state, content)
        case "large":
            return file_state(state, why=f"{path} has {state[2]} bytes, more than are compared")
        case "unreadable":
            return file_state(state, why=f"{path} may not be read: permission denied")
        case _:
            return file_state(state)


def _folder(host: str, path: str, parts: Sequence[str]) -> FolderState:
    seen, how = file_state(parts[:8]), parts[8]
    if how == "unreadable":
        raise AccessDenied(f"{host}: the folder {path} may not be looked into")
    names = tuple(sorted(_text(parts[9]).splitlines())) if how == "names" else ()
    special = "" if seen.special == "a folder" else seen.special or "a file"
    return FolderState(seen.owner, seen.group, seen.mode, seen.uid, seen.gid, names, special)


def _user(line: str, group: str) -> UserState:
    _, _, uid, gid, _, home, shell = line.split(":")
    return UserState(int(uid), group or gid, home, shell)


def _group(line: str, accounts: str) -> GroupState:
    _, _, gid, members = line.split(":")
    return GroupState(int(gid), tuple(sorted(m for m in members.split(",") if m)), tuple(sorted(accounts.split())))


def _unit(text: str) -> UnitState:
    properties = dict(line.partition("=")[::2] for line in text.splitlines())
    values = [properties.get(name, "") for name in _UNIT_PROPERTIES]
    load, active, sub, enabled, file, drop_ins, result, reload, restarts = values
    return UnitState(load, active, sub, enabled, file, tuple(drop_ins.split()), result, reload == "yes", int(restarts or 0))


def _text(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "surrogateescape")
    except ValueError:
        raise Rejected("a machine's answer is not what its script prints") from None


def _name(name: str, number: str) -> str:
    return number if name == "UNKNOWN" else name


def _special(mode: int) -> str:
    words = {0o100000: "", 0o120000: "a symbolic link", 0o040000: "a folder", 0o010000: "a pipe", 0o140000: "a socket"}
    return words.get(mode & 0o170000, "a device")

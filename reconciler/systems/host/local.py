"""The machine that this program runs on.

A file appears whole or not at all, with its owner and mode, and a secret in it is at no moment readable by others: a new one is written without a
name, made durable, and given its name. One that replaces another is written beside it (``.NAME.reconciler-new``, the same each time, so that what a
killed run left is found and removed) and moved.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from reconciler.model.errors import AccessDenied, AlreadyExists, LostRace, Rejected, SystemFault
from reconciler.model.secret import Secret
from reconciler.systems.dialogue import Question
from reconciler.systems.host.entering import LINKS, NOT_FILES
from reconciler.systems.host.inquiry import LARGEST_BYTES, inquire
from reconciler.systems.host.paths import NAME_BYTES, temporary_name
from reconciler.systems.host.shell import MACHINE_ID_FILES, TIMEOUT_S, LocalShell, demand_identity, printed, said
from reconciler.systems.host.states import Agent, Facts, FileState, Inquiry, NoAgent

_NO_NAMELESS_FILES: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
"""How file systems, and old kernels, say that they have no O_TMPFILE."""


class LocalHost:
    """The machine that this program runs on."""

    def __init__(self, name: str = "local", agent: Agent | None = None, machine_id_files: Sequence[str] = MACHINE_ID_FILES) -> None:
        self.name = name
        self.agent = agent or NoAgent(name)
        self._shell = LocalShell(machine_id_files)

    @property
    def identity(self) -> str:
        """Its machine-id."""
        return demand_identity(self.name, self._shell)

    def inquire(self, inquiry: Inquiry) -> Facts:
        """The files by ourselves, all the rest in one script; none is run for files alone."""
        rest = replace(inquiry, files=frozenset())
        facts = inquire(self.name, self._shell, rest) if rest != Inquiry() else Facts()
        return replace(facts, files=self.read(sorted(inquiry.files)))

    def run(self, script: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        """Run a script."""
        return printed(self.name, self._shell.run(script, arguments, timeout_s=timeout_s)).decode("utf-8", "replace")

    def converse(self, script: str, *arguments: str, questions: Sequence[Question], to_ask_s: float, to_end_s: float) -> str:
        """Run a script on a terminal."""
        return said(self.name, self._shell.converse(script, arguments, questions, to_ask_s=to_ask_s, to_end_s=to_end_s))

    def close(self) -> None:
        """Nothing is open."""

    def read(self, paths: Iterable[str]) -> dict[str, FileState]:
        """The files that exist."""
        states = {path: self._state(path) for path in paths}
        return {path: state for path, state in states.items() if state is not None}

    def write(
        self, path: str, content: Secret | bytes, *, owner: str | None, group: str | None, mode: str, exclusive: bool = False,
        replacing: Sequence[int] | None = None,
    ) -> FileState:  # fmt: skip
        """Put ``content`` at ``path``, whole."""
        uid, gid = self._uid(owner), self._gid(group)
        raw = content if isinstance(content, bytes) else content.reveal().encode("utf-8", "surrogateescape")
        with self._folder_of(path) as (folder, name):
            self._demand_replaceable(path, folder, name, exclusive=exclusive, replacing=replacing)
            temporary = temporary_name(name)
            _unlink(folder, temporary)
            new = _New(folder, raw, (uid, gid), int(mode, 8))
            try:
                if exclusive:
                    written = new.link(name, temporary)
                else:
                    written = new.write(temporary)
                    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            finally:
                _unlink(folder, temporary)
            os.fsync(folder)
            return _described(written)

    def remove(self, path: str, *, replacing: Sequence[int] | None = None) -> None:
        """Remove the file, and what a killed run left beside it."""
        if not os.path.isdir(os.path.dirname(path)):
            return
        with self._folder_of(path) as (folder, name):
            if _lstat(folder, name) is not None:
                self._demand_replaceable(path, folder, name, exclusive=False, replacing=replacing)
            for each in (temporary_name(name), name):
                _unlink(folder, each)
            os.fsync(folder)

    def _state(self, path: str) -> FileState | None:
        try:
            seen = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._refuse(path, error)
        if not stat.S_ISREG(seen.st_mode):
            return _described(seen)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            return _described(seen, why=f"{path} may not be read: {_words(error)}")
        with os.fdopen(descriptor, "rb") as file:
            seen = os.fstat(descriptor)
            if seen.st_size > LARGEST_BYTES:
                return _described(seen, why=f"{path} has {seen.st_size} bytes, more than are compared")
            return _described(seen, content=file.read(LARGEST_BYTES + 1))

    @contextmanager
    def _folder_of(self, path: str) -> Iterator[tuple[int, str]]:
        """The folder of a file, opened, and the file's name in it: from here on nobody can put another folder in its place."""
        parent, name = os.path.split(path)
        if len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES:
            raise Rejected(f"{self.name}: {path}: the name is longer than {NAME_BYTES} bytes")
        try:
            folder = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Rejected(f"{self.name}: {path}: the folder {parent} does not exist: create it first") from None
        except OSError as error:
            self._refuse(path, error)
        try:
            self._demand_safe(path, parent, os.path.realpath(f"/proc/self/fd/{folder}"))
            yield folder, name
        except OSError as error:
            self._refuse(path, error)
        finally:
            os.close(folder)

    def _demand_safe(self, path: str, named: str, parent: str) -> None:
        """Refuse folders that are not where they are said to be, those in which files are no files, and those in which anybody could put something
        else in a file's place (:mod:`~reconciler.systems.host.entering` has the same for scripts).
        """
        if self._followed(path, named) != parent:
            raise LostRace(f"{self.name}: {path}: the folder {named} was moved meanwhile: run again")
        if any(parent == top or parent.startswith(top + "/") for top in NOT_FILES):
            raise Rejected(f"{self.name}: {path} lies in {parent}, which holds no files of its own")
        for folder in (Path(parent), *Path(parent).parents):
            mode = folder.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise Rejected(f"{self.name}: {path}: anybody may write to {folder}, so nothing in it is safe: chmod o-w {folder}")

    def _followed(self, path: str, folder: str) -> str:
        """Where a folder is when only such links are followed as nobody else may change."""
        real, rest, links = Path("/"), folder.split("/"), 0
        while rest:
            first, *rest = rest
            if first in ("", "."):
                continue
            if first == "..":
                real = real.parent
            elif (real / first).is_symlink():
                links += 1
                if links > LINKS or {(real / first).lstat().st_uid, real.stat().st_uid} - {0, os.geteuid()}:
                    raise Rejected(f"{self.name}: {path}: {real / first} is a symbolic link that others may change: name the folder itself")
                target = os.readlink(real / first)
                real, rest = Path("/") if target.startswith("/") else real, [*target.split("/"), *rest]
            else:
                real /= first
        return str(real)

    def _demand_replaceable(self, path: str, folder: int, name: str, *, exclusive: bool, replacing: Sequence[int] | None) -> None:
        seen = _lstat(folder, name)
        if seen is not None and exclusive:
            raise AlreadyExists(f"{self.name}: {path} exists already")
        if seen is not None and not stat.S_ISREG(seen.st_mode):
            raise Rejected(f"{self.name}: {path} is {_special(seen)}: name the file itself, or remove that")
        if replacing is not None and (seen is None or tuple(replacing) != _witness(seen)):
            raise LostRace(f"{self.name}: {path} was written by somebody else meanwhile: run again")

    def _uid(self, owner: str | None) -> int:
        return self._id(owner, "user", lambda name: pwd.getpwnam(name).pw_uid)

    def _gid(self, group: str | None) -> int:
        return self._id(group, "group", lambda name: grp.getgrnam(name).gr_gid)

    def _id(self, name: str | None, what: str, look_up: Callable[[str], int]) -> int:
        """The number of a user or group; -1, which changes nothing, for None."""
        if name is None:
            return -1
        try:
            return look_up(name)
        except KeyError:
            if name.isdecimal():
                return int(name)  # how an owner without a name is shown
            raise Rejected(f"{self.name}: there is no {what} {name!r}: create it first, or correct the name") from None

    def _refuse(self, path: str, error: OSError) -> NoReturn:
        fault: type[SystemFault] = AccessDenied if error.errno in (errno.EACCES, errno.EPERM) else Rejected
        if isinstance(error, FileExistsError):
            fault = AlreadyExists
        raise fault(f"{self.name}: {path}: {_words(error)}") from error


@dataclass(frozen=True, slots=True)
class _New:
    """A file to be made in a folder, durable when it appears."""

    folder: int
    content: bytes
    ids: tuple[int, int]
    mode: int

    def write(self, name: str) -> os.stat_result:
        """Under a name that nothing has. Ours alone until it has its owner and mode, and empty until then."""
        return self._fill(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.folder))

    def link(self, name: str, temporary: str) -> os.stat_result:
        """Without any name until it is whole, so that a run that is killed leaves nothing behind; where there are no such files, as ``temporary``.

        A link never replaces what has come to be there meanwhile; a rename would.
        """
        try:
            descriptor = os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=self.folder)
        except OSError as error:
            if error.errno not in _NO_NAMELESS_FILES:
                raise
            written = self.write(temporary)
            os.link(temporary, name, src_dir_fd=self.folder, dst_dir_fd=self.folder, follow_symlinks=False)
            return written
        return self._fill(descriptor, lambda: os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=self.folder, follow_symlinks=True))

    def _fill(self, descriptor: int, then: Callable[[], None] = lambda: None) -> os.stat_result:
        with os.fdopen(descriptor, "wb") as file:
            if self.ids != (-1, -1):
                os.fchown(descriptor, *self.ids)
            os.fchmod(descriptor, self.mode)
            file.write(self.content)
            file.flush()
            os.fsync(descriptor)
            then()
            return os.fstat(descriptor)


def _unlink(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _lstat(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _described(seen: os.stat_result, content: bytes | None = None, why: str = "") -> FileState:
    return FileState(
        content,
        _name_of(seen.st_uid, lambda uid: pwd.getpwuid(uid).pw_name),
        _name_of(seen.st_gid, lambda gid: grp.getgrgid(gid).gr_name),
        f"{stat.S_IMODE(seen.st_mode):04o}",
        _witness(seen),
        seen.st_uid,
        seen.st_gid,
        why,
        _special(seen),
    )


def _name_of(number: int, look_up: Callable[[int], str]) -> str:
    try:
        return look_up(number)
    except KeyError:
        return str(number)


def _witness(seen: os.stat_result) -> tuple[int, int, int]:
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _special(seen: os.stat_result) -> str:
    if stat.S_ISREG(seen.st_mode):
        return ""
    words = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return words.get(stat.S_IFMT(seen.st_mode), "a device")


def _words(error: OSError) -> str:
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]

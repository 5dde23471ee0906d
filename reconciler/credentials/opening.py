"""Encrypted archives on disk: read, bounded, and opened in memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from reconciler.credentials.archive import LARGEST_BYTES, Archive, pack, unpack
from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret

LARGEST_SEALED_BYTES: Final = LARGEST_BYTES


class BadArchive(ReconcilerError):
    """A file is no archive, whatever its password."""


def read_sealed(path: Path) -> bytes:
    """The file as it is. Raises BadArchive when there is none, or what it is can be no archive."""
    from reconciler.systems import openpgp

    try:
        content = read_bounded(path, LARGEST_SEALED_BYTES, "the cluster archive")
    except ReconcilerError as error:
        raise BadArchive(str(error)) from None
    try:
        openpgp.refuse_other_forms(content)
    except ReconcilerError as error:
        raise BadArchive(f"{path} {error}") from None
    return content


def unseal(sealed: bytes, password: Secret, name: object) -> Archive:
    """The archive in an encrypted file called ``name``. Raises BadArchive, or WrongPassword."""
    from reconciler.systems import openpgp

    try:
        return unpack(openpgp.decrypt(sealed, password, LARGEST_BYTES))
    except openpgp.WrongPassword as error:
        raise openpgp.WrongPassword(f"{name} {error}") from None
    except ReconcilerError as error:
        raise BadArchive(f"{name} {error}") from None


def seal(archive: Archive, password: Secret) -> bytes:
    """The encrypted file of an archive, as service-discover and gpg open it."""
    from reconciler.systems import openpgp

    return openpgp.encrypt(pack(archive), password)


def open_archive(path: Path, password: Secret) -> Archive:
    """The archive in an encrypted file. Raises ReconcilerError."""
    return unseal(read_sealed(path), password, path)


def bootstrap_token(path: Path, password: Secret) -> Secret:
    """The SecretID of the bootstrap token in an archive, as ``service-discover bootstrap-token`` prints it. Raises ReconcilerError."""
    return within(path, open_archive(path, password))


def within(name: object, archive: Archive) -> Secret:
    """The SecretID in an archive called ``name``. Raises ReconcilerError."""
    try:
        return archive.secret_id()
    except ReconcilerError as error:
        raise ReconcilerError(f"{name} {error}") from None


def read_bounded(path: Path, limit_bytes: int, what: str) -> bytes:
    """A regular file of at most ``limit_bytes``. Raises ReconcilerError, naming it ``what``."""
    try:
        # O_NONBLOCK: opening a pipe would wait for whoever writes to it
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ReconcilerError(f"{what} {path} is no plain file: correct the path")
            content = file.read(limit_bytes + 1)
    except OSError as error:
        reason = "it is a directory" if isinstance(error, IsADirectoryError) else (error.strerror or type(error).__name__).lower()
        raise ReconcilerError(f"{what} {path} cannot be read: {reason}: correct the path, or its permissions") from None
    if len(content) > limit_bytes:
        raise ReconcilerError(f"{what} {path} has more than {limit_bytes:,} bytes, which is too large for one: correct the path")
    return content

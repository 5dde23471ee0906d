"""OpenPGP messages that are encrypted with a password. The only module that knows pysequoia, which is imported when it is needed.

Decrypting is done by a child (docs/decisions/0010-decryption-in-a-child.md): a message of a few kilobytes may expand to gigabytes, and the library
holds the interpreter until it is done. The content goes into a file in memory that the kernel does not let grow beyond the limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret

TIMEOUT_S: Final = 60.0
BEGIN: Final = b"-----BEGIN PGP MESSAGE-----"
END: Final = b"-----END PGP MESSAGE-----"

_CHILD: Final = Path(__file__).with_name("_openpgp_child.py")
_FOR_THE_LOADER: Final = ("LD_LIBRARY_PATH",)
_NO_KEY: Final = "No key to decrypt message"
_SAID: Final = {
    _NO_KEY: "cannot be opened with this password: give the right one",
    "Message has been manipulated": "is damaged or cut off: get an undamaged copy",
    "unexpected EOF": "is damaged or cut off: get an undamaged copy",
    "File too large": "holds more than {limit:,} bytes when it is opened, which no cluster archive does: it was not read further",
}
"""What the library says, and what it means here."""


class WrongPassword(ReconcilerError):
    """A message was encrypted with another password."""


def refuse_other_forms(content: bytes) -> None:
    """Raise ReconcilerError, with what to do, for what is no armored OpenPGP message, from its form alone."""
    text = content.strip()
    if text.startswith(BEGIN):
        if END not in text:
            raise ReconcilerError("is cut off, it has no END line: get the whole file")
        return
    if not text:
        raise ReconcilerError("is empty: get the whole file")
    if text.startswith(b"-----BEGIN PGP"):
        raise ReconcilerError("is armored OpenPGP, but no encrypted message: give the cluster archive")
    if content[0] & 0x80 and _is_packet_of_a_message(content[0]):
        raise ReconcilerError(
            "is binary OpenPGP, which service-discover does not take either: armor it with gpg --enarmor < FILE | sed 's/ARMORED FILE/MESSAGE/'"
        )
    raise ReconcilerError("is no OpenPGP message: give the cluster archive, which begins with " + BEGIN.decode())


def _is_packet_of_a_message(first: int) -> bool:
    """Whether a byte begins an encrypted session key or encrypted data (RFC 4880, 4.2 and 4.3), of the new or the old form."""
    tag = first & 0x3F if first & 0x40 else (first & 0x3C) >> 2
    return tag in (1, 3, 9, 18)


def decrypt(message: bytes, password: Secret, limit_bytes: int) -> bytes:
    """The content of an armored message.

    Raises ReconcilerError, beginning with a verb, when it cannot be had or is larger than ``limit_bytes``; WrongPassword when that is why.
    """
    refuse_other_forms(message)
    code = password.reveal().encode("utf-8", "surrogateescape")
    output = os.memfd_create("content", os.MFD_CLOEXEC)
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-S", str(_CHILD), str(_folder_of_the_library()), str(limit_bytes)],
            input=b"%d\n%b%b" % (len(code), code, message),
            stdout=output,
            stderr=subprocess.PIPE,
            # nothing of ours is its business
            env={name: os.environ[name] for name in _FOR_THE_LOADER if name in os.environ},
            timeout=TIMEOUT_S,
            check=False,
        )
        if process.returncode:
            said = process.stderr.decode("utf-8", "replace")
            why = next(
                (why for words, why in _SAID.items() if words in said),
                "cannot be opened: it is damaged, or encrypted or compressed in a way that is not known here: get another copy",
            )
            raise (WrongPassword if _NO_KEY in said else ReconcilerError)(why.format(limit=limit_bytes))
        return os.pread(output, limit_bytes + 1, 0)
    except subprocess.TimeoutExpired:
        raise ReconcilerError(f"could not be opened within {TIMEOUT_S:g} s: see whether it is the right file") from None
    finally:
        os.close(output)


def encrypt(content: bytes, password: Secret) -> bytes:
    """An armored message: AES-256, the key from the password iterated and salted (S2K 3), as service-discover and gpg read it."""
    import pysequoia

    return pysequoia.encrypt(content, passwords=[password.reveal()])


def _folder_of_the_library() -> Path:
    found = find_spec("pysequoia")
    if found is None or found.origin is None:
        raise ReconcilerError("cannot be opened: the library pysequoia is not installed: pip install pysequoia")
    return Path(found.origin).parents[1]

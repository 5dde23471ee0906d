"""Password verifiers as Postgres stores them: made here, so that no password reaches a server, and checked here, without knowing the old password.

RFC 5803 and RFC 7677, and where Postgres differs, as Postgres does (src/common/saslprep.c, src/common/scram-common.c). Checked against libpq and
real servers by the tests; the traps are in docs/facts.md: Postgres 1.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import stringprep
import threading
import unicodedata
from collections.abc import Callable
from typing import Final, NoReturn

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import MASK, Hidden, Secret

DEFAULT_ITERATIONS: Final = 4096
MOST_ITERATIONS: Final = 5_000_000
"""A check costs 0.2 µs for each iteration, so a second at most: whoever can write pg_authid cannot stop this program with one number."""

_SCRAM: Final = re.compile(r"SCRAM-SHA-256\$(\d{1,10}):([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*):([A-Za-z0-9+/]+=*)", re.ASCII)
_MD5: Final = re.compile(r"md5([0-9a-f]{32})")
_SALT_BYTES: Final = 16

# What a prepared text may not hold: prohibited output (RFC 4013 §2.3) and code points that Unicode 3.2 did not assign.
_PROHIBITED: Final[tuple[Callable[[str], bool], ...]] = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4, stringprep.in_table_c5,
    stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8, stringprep.in_table_c9, stringprep.in_table_a1,
)  # fmt: skip


class Verifier:
    """What pg_authid holds for a role's password: SCRAM-SHA-256, or MD5 of old. It shows nothing of itself.

    ``salt`` is the salt in base64, which every change of the password replaces and which says nothing of the password; None for MD5, whose salt is
    the role's name.
    """

    __slots__ = ("_check", "_key", "_remembered", "salt")

    def __init__(self, key: tuple[str, str], check: Callable[[bytes], bool], salt: str | None, remembered: Verifications) -> None:
        self._key = key
        self._check = check
        self._remembered = remembered
        self.salt = salt

    def matches(self, other: Secret, /) -> bool:
        """Whether ``other`` is the password. Hashes 4096 times, 1 ms, or as often as the verifier says; remembered for the run."""
        return self._remembered.result(self._key, other, self._check)

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a verifier cannot be pickled")


class Verifications:
    """The checks made in one run, so that planning, applying and reading back hash once for each role. Safe for threads.

    Secrets are remembered as the objects that they are, and compared as secrets are: nothing is derived from them. A result belongs to a role and its
    verifier; the role counts, because an MD5 verifier of one role may look like that of another with a longer name and a shorter password.
    """

    def __init__(self) -> None:
        self._results: dict[tuple[str, str], list[tuple[Secret, bool]]] = {}
        self._lock = threading.Lock()

    def result(self, key: tuple[str, str], secret: Secret, check: Callable[[bytes], bool]) -> bool:
        """What ``check`` says of the bytes of ``secret``, or said before under ``key``: a role and its verifier."""
        with self._lock:
            known = list(self._results.get(key, ()))
        for seen, result in known:
            if seen is secret or seen.matches(secret):
                return result
        password = secret.reveal()
        result = bool(password) and "\0" not in password and check(_bytes(password))
        with self._lock:
            self._results.setdefault(key, []).append((secret, result))
        return result


def parse(stored: str, role: str, remembered: Verifications) -> Verifier | Hidden:
    """The verifier behind ``pg_authid.rolpassword`` of ``role``; Hidden, with why, when checking takes too long.

    One that nobody could log in with matches no password, so that it is replaced.
    """
    key = (role, stored)
    md5 = _MD5.fullmatch(stored)
    if md5 is not None:
        digest = md5[1]
        return Verifier(key, lambda raw: hmac.compare_digest(_md5(raw, role), digest), None, remembered)
    scram = _SCRAM.fullmatch(stored)
    if scram is None:
        return Verifier(key, lambda _: False, None, remembered)
    iterations = int(scram[1])
    if iterations > MOST_ITERATIONS:
        return Hidden(f"its verifier takes {iterations} iterations to check, more than {MOST_ITERATIONS}")
    salt, stored_key, server_key = (_decoded(part) for part in scram.groups()[1:])
    if not iterations or not salt:
        return Verifier(key, lambda _: False, None, remembered)
    return Verifier(key, lambda raw: _is_made_of(raw, salt, iterations, stored_key, server_key), scram[2], remembered)


def build(password: Secret, iterations: int = DEFAULT_ITERATIONS) -> Secret:
    """A new SCRAM-SHA-256 verifier of ``password``, with a random salt. Raises ReconcilerError for a password that Postgres cannot have."""
    text = password.reveal()
    if not text:
        raise ReconcilerError("the password is empty, for which Postgres would store none: correct what it refers to")
    if "\0" in text:
        raise ReconcilerError("the password holds the character NUL, which nobody could log in with: correct what it refers to")
    salt = os.urandom(_SALT_BYTES)
    rounds = min(max(iterations, DEFAULT_ITERATIONS), MOST_ITERATIONS)
    stored_key, server_key = _keys(_bytes(text), salt, rounds)
    encoded = [base64.b64encode(b).decode("ascii") for b in (salt, stored_key, server_key)]
    return Secret(f"SCRAM-SHA-256${rounds}:{encoded[0]}${encoded[1]}:{encoded[2]}")


def salt_of(verifier: Secret) -> str:
    """The salt of a verifier that :func:`build` made, in base64."""
    return verifier.reveal().split("$")[1].partition(":")[2]


def prepared(password: str) -> bytes:
    """SASLprep as Postgres does it: pure ASCII stays, and what SASLprep prohibits is taken as it stands, where RFC 4013 would refuse it."""
    if password.isascii():
        return _bytes(password)
    # U+200B is in both tables: in Postgres it is a space
    mapped = "".join(" " if stringprep.in_table_c12(c) else "" if stringprep.in_table_b1(c) else c for c in password)
    # Postgres looks for what is prohibited in the text before it is normalised; RFC 4013 means the text after it.
    if not mapped or any(is_in(c) for c in mapped for is_in in _PROHIBITED) or _mixes_directions(mapped):
        return _bytes(password)
    # today's normalisation, not that of Unicode 3.2, which had mistakes; what was assigned later never comes this far
    return unicodedata.normalize("NFKC", mapped).encode()


def _mixes_directions(text: str) -> bool:
    if not any(map(stringprep.in_table_d1, text)):
        return False
    return any(map(stringprep.in_table_d2, text)) or not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1]))


def _bytes(password: str) -> bytes:
    """The password as it was before it was decoded: what is not UTF-8 came in as surrogates."""
    try:
        return password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ReconcilerError("the password is not valid Unicode: correct what it refers to") from None


def _keys(raw: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey of RFC 5802 §3."""
    salted = hashlib.pbkdf2_hmac("sha256", prepared(raw.decode("utf-8", "surrogateescape")), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")


def _is_made_of(raw: bytes, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> bool:
    mine = _keys(raw, salt, iterations)
    return hmac.compare_digest(mine[0], stored_key) & hmac.compare_digest(mine[1], server_key)


def _md5(raw: bytes, role: str) -> str:
    return hashlib.md5(raw + role.encode(), usedforsecurity=False).hexdigest()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""

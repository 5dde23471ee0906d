"""Marked secrets, and the search for them, in any form, in everything that can be looked at."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import string
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_ALPHABET = string.ascii_lowercase + string.digits
_PART = 9
"""How many characters of a mark in a row are a find: a part of a secret is a leak too. 36 to the power of 9 is far from chance."""


def mark() -> str:
    """A text that is nowhere by chance."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(24))


@dataclass(frozen=True)
class Canary:
    """A secret: ``name`` says where it was put, ``value`` is all of it, ``mark`` the part by which it is known.

    ``user`` is the Postgres role that it is the password of.
    """

    name: str
    value: str
    mark: str
    user: str = ""

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """What to look for, each with a name; in lower case, but for base64."""
        parts = {self.mark[n : n + _PART] for n in range(len(self.mark) - _PART + 1)}
        yield from (("as it is", part.encode()) for part in sorted(parts))
        yield from (("in hex", part.encode().hex().encode()) for part in sorted(parts))
        yield from (("reversed", part[::-1].encode()) for part in sorted(parts))
        whole = self.value.encode()
        for algorithm in ("md5", "sha1", "sha256", "sha512"):
            yield algorithm, hashlib.new(algorithm, whole).hexdigest().encode()
        if self.user:
            yield "md5 with the role", hashlib.md5(whole + self.user.encode()).hexdigest().encode()

    def encoded(self) -> Iterator[tuple[str, bytes]]:
        """The forms in which capitals count: the inner part of base64, for each of the three places where a group can begin."""
        for shift in range(3):
            code = base64.b64encode(b"\0" * shift + self.mark.encode())
            yield "in base64", code[4 if shift else 0 : -4]
        for algorithm in ("sha256", "sha512"):
            yield f"{algorithm} in base64", base64.b64encode(hashlib.new(algorithm, self.value.encode()).digest()).rstrip(b"=")


def canary(name: str, pattern: str = "{}", *, user: str = "") -> Canary:
    """A new one; ``pattern`` is what stands around its mark."""
    text = mark()
    return Canary(name, pattern.replace("{}", text), text, user)


def known(name: str, value: str, *, user: str = "") -> Canary:
    """One whose value was made by somebody else, such as a token or a generated password; it is all mark."""
    return Canary(name, value, value, user)


@dataclass(frozen=True, order=True)
class Find:
    """A secret where none should be."""

    place: str
    canary: str
    form: str
    around: str = field(compare=False, default="")


@dataclass
class Evidence:
    """All that was collected, place by place, each piece once; and the verifiers that Postgres has."""

    places: defaultdict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    verifiers: set[str] = field(default_factory=set)

    def add(self, place: str, *pieces: str | bytes) -> None:
        """Something to be searched later."""
        self.places[place] |= {piece.encode(errors="surrogateescape") if isinstance(piece, str) else piece for piece in pieces}

    def all(self, place: str) -> bytes:
        """Everything that was collected in one place."""
        return b"\n".join(sorted(self.places[place]))

    def search(self, canaries: Iterable[Canary]) -> list[Find]:
        """Every secret that is found anywhere; a verifier counts as one."""
        plain = [(c.name, form, needle.lower()) for c in canaries for form, needle in c.forms()]
        exact = [(c.name, form, needle) for c in canaries for form, needle in c.encoded()]
        exact += [("a verifier", "a key", key.encode()) for verifier in self.verifiers for key in verifier.rpartition("$")[2].split(":")]
        found = set()
        for place in sorted(self.places):
            content = self.all(place)
            for needles, haystack in ((plain, content.lower()), (exact, content)):
                found |= {Find(place, name, form, _around(haystack, needle)) for name, form, needle in needles if needle in haystack}
            if match := re.search(rb"SCRAM-SHA-256\$\d+:", content):
                found.add(Find(place, "a verifier", "as it is", _around(content, match[0])))
        return sorted(found)


def _around(content: bytes, needle: bytes) -> str:
    at = content.find(needle)
    return content[max(0, at - 60) : at + len(needle) + 60].decode(errors="replace")

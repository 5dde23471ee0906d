"""The name of one resource, as people read and type it: ``kv/carbonio-files/db-name``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote


@dataclass(frozen=True, slots=True, order=False)
class Address:
    """Kind and segments of a resource; two spellings of one name are one address.

    Made with :meth:`of`. ``segments`` keeps the spelling for display; equality and hashing go by ``identity``, in which the kinds whose names
    Consul folds (ACL policies and roles, config entries, nodes, service IDs) are lower-cased. For a resource in Postgres or on a host the first
    segment is the name of the server or host in the manifest.
    """

    kind: str
    segments: tuple[str, ...] = field(compare=False)
    identity: tuple[str, ...]

    @classmethod
    def of(cls, kind: str, *segments: str, fold: bool = False) -> Address:
        """The address of a resource; ``fold`` when the system that holds it ignores case in its names."""
        return cls(kind, segments, tuple(s.lower() for s in segments) if fold else segments)

    def __str__(self) -> str:
        return _text(self.kind, self.segments)

    def __lt__(self, other: Address) -> bool:
        return (self.kind, self.identity) < (other.kind, other.identity)


def _text(kind: str, segments: tuple[str, ...]) -> str:
    # Every segment but the last is percent-encoded, so that `a/b` in a node's name is not taken for a separator (docs/design.md §6).
    return "/".join((kind, *(quote(s, safe=" !$&'()*+,;=:@~") for s in segments[:-1]), segments[-1]))


def record_path(kind: str, identity: tuple[str, ...]) -> str:
    """The text form of an identity, as it stands in the key of an ownership record."""
    return _text(kind, identity)


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in glob.split("*")), re.DOTALL)


def matches(glob: str, address: Address) -> bool:
    """Whether ``address`` matches ``glob``, in which ``*`` stands for any characters, ``/`` included, and nothing else is special."""
    return _pattern(glob).fullmatch(str(address)) is not None

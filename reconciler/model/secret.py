"""Values that must not be seen, and values that are not known yet.

A :class:`Secret` is masked wherever it could be turned into text; whoever really needs it calls :meth:`Secret.reveal` at the last moment before
the bytes are sent. The other types stand in a specification where a value will be.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, Protocol, runtime_checkable

from reconciler.model.address import Address

MASK = "(secret)"


class Secret:
    """Text that never shows: ``repr``, ``str``, ``format``, pickling and JSON all give a mask or refuse."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself. Only for the call that sends it to the system it belongs to."""
        return self._value

    def matches(self, other: Secret) -> bool:
        """Whether both hold the same text, compared in constant time."""
        mine, theirs = (s._value.encode("utf-8", "surrogateescape") for s in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other)

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret would be derived from it

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


@runtime_checkable
class Verifies(Protocol):
    """A live value against which a secret can be checked without being known: a plain secret, a SCRAM verifier."""

    def matches(self, other: Secret, /) -> bool:
        """Whether ``other`` is the secret that this was made from."""
        ...


@dataclass(frozen=True, slots=True)
class Hidden:
    """A live value that may not be read, and why: the plan says *cannot compare*."""

    why: str


@dataclass(frozen=True, slots=True)
class Generate:
    """A value to be made once, of ``size_bytes`` random bytes; any live value counts as equal."""

    size_bytes: int
    encoding: Literal["hex", "base64", "base64url"]


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret comes from outside the live systems: an environment variable, a file, a command, a cluster credentials archive.

    ``argument`` is the variable's name, the path as written, the argument vector, or ``{"file": …, "password": SecretSource}``. Resolved by
    :mod:`reconciler.systems.secret_sources`. ``digest`` is that of a cluster archive as it lies there, by its path. ``masked`` is False where the
    manifest says that it is no secret: it is resolved to plain text then.
    """

    form: Literal["env", "file", "exec", "bootstrap_token", "digest"]
    argument: Any
    masked: bool = True


@dataclass(frozen=True, slots=True)
class Reference:
    """The value of another resource's attribute *after* this plan: a KV entry's ``value``, a token's ``secret_id``, a file's ``version``.

    ``masked`` as in :class:`SecretSource`.
    """

    address: Address
    attribute: Literal["value", "secret_id", "version"]
    masked: bool = True

    def to(self, value: Any) -> Any:
        """What stands in this one's place, once ``value`` is known of the attribute."""
        if self.masked:
            return value
        return value.reveal() if isinstance(value, Secret) else replace(value, masked=False) if isinstance(value, Pending) else value


@dataclass(frozen=True, slots=True)
class Pending:
    """A value that only applying will tell.

    ``text`` is what the plan shows, such as ``(known after apply)``; ``masked`` as in :class:`SecretSource`.
    """

    text: str
    masked: bool = True


GENERATED_AT_APPLY = Pending("(generated at apply)")
KNOWN_AFTER_APPLY = Pending("(known after apply)")

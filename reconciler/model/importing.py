"""From what is live to a manifest: how a kind says one resource as an entry, and what it may look at to do so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.record import Record
from reconciler.model.resource import Live
from reconciler.model.secret import Secret, Verifies
from reconciler.model.value import ABSENT, WITHHELD, Value, leaves, put

MOST_CHECKS: Final = 256
MOST_UNLIKELY_CHECKS: Final = 32
"""How many values are tried as the password of one role; a check takes a millisecond. Unlikely is what neither its key nor its folder speaks for."""

_LONGEST_PASSWORD: Final = 256

LEFT_AS_IT_IS: Final = "not said here, and left as it is: "


@dataclass(frozen=True, slots=True)
class Needed:
    """Stands in an entry for a secret that is not written: an environment variable. ``variable`` is its name, unless another has it already;
    ``what`` says whose secret it is, as in "the value of kv/app/password".
    """

    variable: str
    what: str


@dataclass(frozen=True, slots=True)
class Expression:
    """One live resource as an entry of a manifest.

    ``section`` is the path of the mapping that has the entry under ``label``, or of a list when that is None; ``body`` is the entry, in which a
    secret is :class:`Needed` or a reference. ``services`` are the names of the services that it is about, the most important one first.
    ``goes_with``: it belongs to whatever these belong to; ``brings``: these belong to whatever it belongs to. ``also`` are the other resources
    that its entry declares. ``notes`` are for people. ``why_not``: it cannot be said, for this reason, and the rest does not count.

    ``at`` is where in the body stands what is this resource's own, such as ``on_removal``; ``short``: what stands there is a short form of a mapping
    with this key.
    """

    section: tuple[str, ...] = ()
    label: str | None = None
    body: Any = None
    services: tuple[str, ...] = ()
    goes_with: tuple[Address, ...] = ()
    brings: tuple[Address, ...] = ()
    also: tuple[Address, ...] = ()
    notes: tuple[str, ...] = ()
    why_not: str = ""
    at: tuple[str, ...] = ()
    short: str = ""

    def carrying(self, options: Mapping[str, Any]) -> Expression:
        """The same with these keys in the resource's own part of the body."""
        return replace(self, body=_with(self.body, self.at, self.short, options)) if options else self


@dataclass(frozen=True)
class Found:
    """Everything that was found, for kinds whose entries refer to others. ``records`` are the ownership records of what was found.

    ``servers`` are the names of the Postgres servers, ``name`` is that of the manifest.
    """

    live: Mapping[Address, Live]
    records: Mapping[Address, Record] = field(default_factory=dict)
    servers: Sequence[str] = ()
    name: str = ""
    _holders: dict[int, Address | None] = field(default_factory=dict, repr=False, compare=False)

    def of_kind(self, kind: str) -> list[Live]:
        """What was found of one kind, by address."""
        return self._by_kind.get(kind, [])

    def record_of_ours(self, address: Address) -> Record | None:
        """The record of a resource that the manifest owns."""
        record = self.records.get(address)
        return record if record is not None and record.owner == self.name else None

    def label(self, server: str, name: str) -> tuple[str, dict[str, Any]]:
        """The label of something in Postgres, and what its entry must say because the label does not."""
        if len(self.servers) < 2:
            return name, {}
        return f"{name}@{server}", {"name": name, "server": server}

    def holding(self, kind: str, secret: Value) -> list[Live]:
        """What was found of one kind that holds this secret, by address; nothing when it is not known."""
        found = (live for live in self.of_kind(kind) if isinstance(secret, Secret))
        return [live for live in found if any(isinstance(v, Secret) and v == secret for v in (*live.fields.values(), *live.outputs.values()))]

    def keys_with(self, text: str, words: Iterable[str]) -> tuple[Address, ...]:
        """The KV entries whose value is ``text``, and the last segment of whose key has one of ``words`` in it."""
        return tuple(a for a in self._keys_by_value.get(text, ()) if any(word in _last(a) for word in words))

    def holder_of(self, verifier: Verifies, name: str = "") -> Address | None:
        """The KV entry that holds the password of ``name`` behind ``verifier``; looked for first in the folders where a key says ``name``."""
        if id(verifier) not in self._holders:
            self._holders[id(verifier)] = next((a for a, value in self._likely_passwords(name) if verifier.matches(value)), None)
        return self._holders[id(verifier)]

    def _likely_passwords(self, name: str) -> list[tuple[Address, Secret]]:
        near = {_folder(key) for key in self._keys_by_value.get(name, ())}
        likely = [(a, v) for a, v in self._candidates if _folder(a) in near or _is_telling(a)]
        unlikely = [(a, v) for a, v in self._candidates if not (_folder(a) in near or _is_telling(a))]
        likely.sort(key=lambda kv: (_folder(kv[0]) not in near, not _is_telling(kv[0])))
        return [*likely[:MOST_CHECKS], *unlikely[:MOST_UNLIKELY_CHECKS]]

    def is_a_secret(self, address: Address) -> bool:
        """Whether the value of a KV entry is known to be a secret: a role's password, a token, or what its record withholds."""
        record = self.records.get(address)
        if record is not None and record.specification.get("value") is WITHHELD:
            return True
        value = self.live[address].outputs.get("value")
        return isinstance(value, Secret) and any(value.matches(known) for known in self._known_secrets)

    @cached_property
    def _by_kind(self) -> dict[str, list[Live]]:
        found: dict[str, list[Live]] = {}
        for address in sorted(self.live):
            found.setdefault(address.kind, []).append(self.live[address])
        return found

    @cached_property
    def _keys_by_value(self) -> dict[str, list[Address]]:
        found: dict[str, list[Address]] = {}
        for live in self.of_kind("kv"):
            if isinstance(live.fields["value"], str):
                found.setdefault(live.fields["value"], []).append(live.address)
        return found

    @cached_property
    def _candidates(self) -> list[tuple[Address, Secret]]:
        values = ((live.address, live.outputs["value"]) for live in self.of_kind("kv"))
        return [(a, v) for a, v in values if isinstance(v, Secret) and 0 < len(v.reveal()) <= _LONGEST_PASSWORD]

    @cached_property
    def _known_secrets(self) -> list[Secret]:
        return [*self._tokens(), *self._passwords()]

    def _tokens(self) -> Iterator[Secret]:
        for live in self.live.values():
            if live.address.kind != "kv":
                yield from (value for value in (live.outputs.get("secret_id"), *live.fields.values()) if isinstance(value, Secret))

    def _passwords(self) -> Iterator[Secret]:
        for live in self.live.values():
            for value in live.fields.values():
                if isinstance(value, Verifies) and not isinstance(value, Secret):
                    holder = self.holder_of(value, live.address.segments[-1])
                    if holder is not None:
                        yield self.live[holder].outputs["value"]


def stated(fields: Mapping[str, Value], rules: FieldRules) -> dict[str, Any]:
    """The part of ``fields`` that means something else than its absence: all that an entry has to say."""
    result: dict[str, Any] = {}
    for path, value in leaves(fields, rules.whole):
        if not rules.same(path, value, ABSENT):
            result = put(result, path, value)
    return result


def left_as_it_is(what: str) -> str:
    """The comment for a part of a resource that a manifest has no word for."""
    return LEFT_AS_IT_IS + what


def variable(*parts: str) -> str:
    """A name for an environment variable, made of words: ``KV_APP_DB_PASSWORD`` of ``kv``, ``app/db-password``."""
    words = "_".join(parts)
    return "".join(char.upper() if char.isascii() and char.isalnum() else "_" for char in words)


def _with(body: Any, at: tuple[str, ...], short: str, options: Mapping[str, Any]) -> Any:
    if at:
        return {**body, at[0]: _with(body[at[0]], at[1:], short, options)}
    return {**({short: body} if short else body), **options}


def _last(key: Address) -> str:
    return key.segments[0].rpartition("/")[2].lower()


def _folder(key: Address) -> str:
    return key.segments[0].rpartition("/")[0]


def _is_telling(key: Address) -> bool:
    return any(word in _last(key) for word in ("pass", "secret", "token", "key", "pwd"))

"""The shapes of single values in config entries, and how mistakes in them are noted (see :mod:`_forms`)."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, Protocol

from reconciler.kinds.consul._durations import go_text, nanoseconds
from reconciler.manifest.sensitive import holds_private_key, is_sensitive_name
from reconciler.model.secret import Secret
from reconciler.model.value import JSON, is_secret, replaced

Trail = tuple[str | int, ...]
"""Where a value stands, in the words of the manifest."""

_BARE: Final = re.compile(r"[0-9]*")
"""A number without a unit, or nothing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a place, and what to do about it."""

    trail: Trail
    what: str
    what_to_do: str


@dataclass(slots=True)
class Reading:
    """One reading of an entry, and what was wrong with it.

    ``strict``: it is a manifest's, in which each value must be written as what it is. What Consul answers is read leniently. ``secrets`` are keys
    in free maps under which texts are secret, besides those whose name says so.
    """

    strict: bool
    secrets: frozenset[str] = frozenset()
    faults: list[Fault] = field(default_factory=list)

    def fault(self, trail: Trail, what: str, what_to_do: str) -> None:
        """Note a mistake."""
        self.faults.append(Fault(trail, what, what_to_do))


class Shape(Protocol):
    """The shape of one value. ``significant``: its emptiness is not the same as its absence."""

    @property
    def significant(self) -> bool:
        """Whether 0, false or "" means something else than nothing."""
        ...

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        """The normal form. A value of another type is noted as a fault and left as it is. ``inside``: in a list, where empties are left out."""
        ...

    def body(self, normal: JSON) -> JSON:
        """What to send to Consul for a normal form."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """What single values have in common."""

    significant: bool = False

    def body(self, normal: JSON) -> JSON:
        """As it is."""
        return normal


@dataclass(frozen=True, slots=True)
class Text(Plain):
    """Text; ``case`` is ``lower`` or ``upper`` where Consul stores it so, ``words`` are all that it takes, beside ""."""

    case: str = ""
    words: tuple[str, ...] = ()

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # one form everywhere
        """The text; a number, where not strict, as Consul would write it."""
        if isinstance(value, int) and not isinstance(value, bool) and not reading.strict:
            value = str(value)
        if not isinstance(value, str):
            scalar = json.dumps(value) if isinstance(value, int | float) else "…"
            reading.fault(trail, "must be text", f'put it in quotes: "{scalar}"')
            return value
        text = value.lower() if self.case == "lower" else value.upper() if self.case == "upper" else value
        if self.words and text and text not in self.words:
            guess = get_close_matches(text, self.words, 1, 0.6)
            what_to_do = f"did you mean {guess[0]}?" if guess else f"write one of {', '.join(self.words)}"
            reading.fault(trail, f"{text!r} is none of the words it takes", what_to_do)
        return text


@dataclass(frozen=True, slots=True)
class Number(Plain):
    """A whole number of 0 or more: none that Consul takes means anything below. Where not strict, digits in quotes are one too."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # one form everywhere
        """The number."""
        if isinstance(value, str) and value.lstrip("-").isdecimal() and not reading.strict:
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            reading.fault(trail, "must be a whole number", "write digits without quotes")
        elif value < 0 and reading.strict:
            reading.fault(trail, "must not be negative", "write 0 or more")
        return value


@dataclass(frozen=True, slots=True)
class OnceEncoded(Plain):
    """Text that Consul keeps as it is and answers in base64 (docs/facts.md: Consul 6)."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        """The text as it was written."""
        if reading.strict or not isinstance(value, str):
            return Text().normal(value, trail, reading, inside=inside)
        try:
            return b64decode(value, validate=True).decode("utf-8", "surrogateescape")
        except ValueError:
            return value


@dataclass(frozen=True, slots=True)
class Flag(Plain):
    """True or false; where not strict, these words in quotes are too."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # one form everywhere
        """The truth."""
        if isinstance(value, str) and value.lower() in ("true", "false") and not reading.strict:
            return value.lower() == "true"
        if not isinstance(value, bool):
            reading.fault(trail, "must be true or false", "write true or false, without quotes")
        return value


@dataclass(frozen=True, slots=True)
class Span(Plain):
    """A duration: text as Go reads it; where not strict, also a number of nanoseconds."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # one form everywhere
        """As Go writes it."""
        if reading.strict and (not isinstance(value, str) or _BARE.fullmatch(value)):
            number = "" if isinstance(value, bool) or not _BARE.fullmatch(str(value)) else str(value)
            reading.fault(trail, "must be a duration with its unit", f'write "{number or "10"}s"')
            return value
        try:
            duration_ns = nanoseconds(value) if isinstance(value, str) and value else int(value or 0)
        except (ValueError, TypeError):
            reading.fault(trail, "must be a duration", 'write it as in "10s" or "1m30s"')
            return value
        if duration_ns < 0 and reading.strict:
            reading.fault(trail, "must not be negative", f'write "{go_text(-duration_ns)}"')
        return go_text(duration_ns) if duration_ns or self.significant else ""

    def body(self, normal: JSON) -> JSON:
        """As Consul reads it, to which an empty text is no duration."""
        return normal or "0s"


@dataclass(frozen=True, slots=True)
class Free(Plain):
    """A mapping whose keys and values are nobody's business but its user's; with ``texts`` the values are text. Any of them may be secret."""

    texts: bool = False

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        """As it is."""
        if not isinstance(value, Mapping):
            if value is not None:
                reading.fault(trail, "must be a mapping", "write {key: value}")
            return {} if value is None else value
        values = {key if not self.texts else str(key): self._value(inner, (*trail, key), reading, inside=inside) for key, inner in value.items()}
        return {key: veiled(key, inner, reading.secrets) for key, inner in values.items()}

    def _value(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        return Text().normal(value, trail, reading, inside=inside) if self.texts and not is_secret(value) else value


def veiled(key: JSON, value: JSON, secrets: frozenset[str], *, by_name: bool = True) -> JSON:
    """``value`` with its texts as secrets, where the key above them says that they are: one of ``secrets``, or by its name."""
    if key in secrets or (by_name and is_sensitive_name(str(key))):
        return replaced(value, str, lambda text: Secret(text) if text else text)
    if isinstance(value, Mapping):
        return {inner: veiled(inner, below, secrets, by_name=by_name) for inner, below in value.items()}
    return [veiled(key, below, secrets, by_name=by_name) for below in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Dropped(Plain):
    """What only Consul fills in, and a manifest may repeat for nothing."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # whatever it is
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Refused(Plain):
    """A field that must not be written, why not, and what to do instead. ``neutral`` is a value of it that says nothing."""

    what: str = ""
    what_to_do: str = "remove it"
    neutral: str = ""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # whatever it is
        """As it is, and a fault unless it says nothing."""
        if value and value != self.neutral:
            reading.fault(trail, self.what, self.what_to_do)
        return value


ENTERPRISE: Final = "is a feature of Consul Enterprise"


def enterprise(neutral: str = "") -> Refused:
    """A field that only Consul Enterprise takes."""
    return Refused(what=ENTERPRISE, neutral=neutral)


@dataclass(frozen=True, slots=True)
class Share(Plain):
    """A share in percent, which Consul keeps in steps of 0.01."""

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:  # noqa: ARG002  # one form everywhere
        """The nearest step, as a whole number where it is one."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            reading.fault(trail, "must be a number", "write digits without quotes")
            return value
        if not 0 <= value <= 100:
            reading.fault(trail, f"is {value:g}", "write a number from 0 to 100")
        step = round(value * 100)
        return step // 100 if step % 100 == 0 else step / 100


@dataclass(frozen=True, slots=True)
class Defaulted:
    """A field that Consul fills in with ``default`` when it is empty. In a list it is left out then."""

    shape: Shape
    default: JSON

    @property
    def significant(self) -> bool:
        """Its emptiness means the default, which is absence."""
        return False

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        """The normal form of what Consul makes of it."""
        normal = self.shape.normal(value, trail, reading, inside=inside)
        if inside:
            return None if normal == self.default else normal
        return normal or self.default

    def body(self, normal: JSON) -> JSON:
        """What to send to Consul for it."""
        return self.shape.body(normal)


@dataclass(frozen=True, slots=True)
class KeySet(Plain):
    """A JSON Web Key Set, for which a reference may stand; a secret when it has private keys in it, or when ``name`` is known to be one."""

    name: str = "JWKS"

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        """The text, as a secret where it is one."""
        if is_secret(value):
            return value
        text = Text().normal(value, trail, reading, inside=inside)
        return Secret(text) if isinstance(text, str) and text and (self.name in reading.secrets or holds_private_key(text)) else text


@dataclass(frozen=True, slots=True)
class Material(Plain):
    """The text of a key or a certificate; a reference may stand for it. ``secret``: it is never shown or recorded."""

    secret: bool = False

    def normal(self, value: JSON, trail: Trail, reading: Reading, *, inside: bool) -> JSON:
        """The text, as a secret where it is one; of a secret nothing is said but its type."""
        if is_secret(value):
            return value
        if not self.secret:
            return Text().normal(value, trail, reading, inside=inside)
        if not isinstance(value, str):
            reading.fault(trail, "must be text", "write a reference such as {file: PATH}")
            return Secret("")
        return Secret(value)

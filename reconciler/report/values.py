"""How one value of a specification reads. What must not be seen is decided here, for the text and for the JSON alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from reconciler.model.secret import MASK, Generate, Hidden, Pending, Reference, Secret, SecretSource
from reconciler.model.value import ABSENT, WITHHELD, Absent, Digest, Path, Semantic, Value, is_secret
from reconciler.report.characters import quoted, visible

NOT_SET: Final = "(not set)"
GENERATED: Final = "(generated at apply)"

SecretState = Literal["changed", "unchanged", "cannot compare"]

_SHOWN_TYPES: Final = frozenset({type(None), bool, int, float, str, list, tuple, dict, Semantic, Digest, Absent})
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "~"})
_LOOKS_LIKE_MORE: Final = tuple("([{\"'&*!|>%@`-?#")


def is_masked(value: Value) -> bool:
    """Whether ``value`` is one that must not be seen; also anything of a type that is not known here, which is not worth the risk."""
    # By exact type first: asking the protocol in is_secret is slow, and nearly every value is one of these.
    if type(value) in _SHOWN_TYPES:
        return False
    if isinstance(value, Pending):
        return value.masked
    return not isinstance(value, Mapping | Semantic | Digest | Absent) or is_secret(value)


def holds_secret(value: Value) -> bool:
    """Whether ``value`` is masked, or something inside it is."""
    if isinstance(value, Mapping):
        return any(holds_secret(v) for v in value.values())
    if isinstance(value, list | tuple):
        return any(holds_secret(v) for v in value)
    return is_masked(value)


def secret_state(before: Value, after: Value) -> SecretState | None:
    """What may be said of a field of which a side is secret; None when neither is."""
    if isinstance(before, Hidden) or isinstance(after, Hidden):
        return "cannot compare"
    if not (holds_secret(before) or holds_secret(after)):
        return None
    if isinstance(before, Secret) and isinstance(after, Secret) and before.matches(after):
        return "unchanged"
    return "changed"


def dotted(path: Path) -> str:
    """A path as it reads: ``meta.external-node``; keys with other characters in quotes."""
    return ".".join(key if _PLAIN_KEY.fullmatch(key) else quoted(key) for key in path)


def masked_text(value: Value) -> str:
    """What stands for a value that is masked."""
    if isinstance(value, Pending):
        return visible(value.text)
    if isinstance(value, Generate):
        return GENERATED
    if isinstance(value, Hidden):
        return "(cannot be read)"
    known = value is WITHHELD or isinstance(value, Secret | Reference | SecretSource) or is_secret(value)
    return MASK if known else "(not shown)"


def text_of(value: Value) -> str | None:
    """The text of a value that is one, for a comparison line by line; None for any other value."""
    if isinstance(value, Semantic):
        return value.shown
    return value if isinstance(value, str) else None


def one_line(value: Value, *, inside: bool = False) -> str:
    """A value on one line, as it would be written in the manifest: a string is quoted only where it could be taken for something else.

    ``inside``: within brackets, where a comma or a bracket needs quotes too.
    """
    if value is ABSENT:
        return NOT_SET
    if isinstance(value, Pending) or is_masked(value):
        return masked_text(value)
    if isinstance(value, Semantic):
        return one_line(value.shown, inside=inside)
    if isinstance(value, Digest):
        return f"(a text with the SHA-256 {value.sha256[:12]}…)"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{one_line(k, inside=True)}: {one_line(value[k], inside=True)}" for k in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(one_line(v, inside=True) for v in value) + "]"
    if isinstance(value, str):
        return quoted(value) if _needs_quotes(value, inside=inside) else value
    return _number_or_word(value)


def block(value: Value) -> list[str]:
    """A value over several lines, in the block style of YAML, keys sorted."""
    if isinstance(value, Mapping) and value:
        return [line for key in sorted(value) for line in _entry(f"{one_line(key, inside=True)}:", value[key], "  ")]
    if isinstance(value, list | tuple) and value:
        return [line for item in value for line in _item(item)]
    return [one_line(value)]


def _entry(head: str, value: Value, indent: str) -> list[str]:
    nested = isinstance(value, Mapping | Sequence) and not isinstance(value, str) and bool(value)
    return [head, *(indent + line for line in block(value))] if nested else [f"{head} {one_line(value)}"]


def _item(value: Value) -> list[str]:
    first, *rest = block(value)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _needs_quotes(text: str, *, inside: bool) -> bool:
    if not text or not text.isprintable() or text != text.strip() or text.startswith(_LOOKS_LIKE_MORE):
        return True
    if text.lower() in _RESERVED_WORDS or "→" in text or '"' in text or "\\" in text:
        return True
    return _is_number(text) or (inside and any(c in text for c in ",[]{}:#"))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number_or_word(value: bool | float | None) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)

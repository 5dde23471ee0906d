"""What an unquoted word in YAML means: the core schema of YAML 1.2, and no more.

``yes``, ``on`` and ``0777``'s other readings of YAML 1.1 are the reason why manifests are typed strictly: what two readers could read in two ways
is refused rather than guessed.
"""

from __future__ import annotations

import re
from typing import Any, Final

CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
"""The words that are no text."""
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_LEADING_ZERO: Final = re.compile(r"[-+]?0[0-9]+")
_OCTAL_OR_HEX: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}.*)?)?")

BITS: Final = 64
"""Whole numbers beyond this many bits are refused: no system here has any, and JSON readers lose them."""


class Odd(Exception):
    """An unquoted word that is refused; ``what`` is why, ``number`` what to write when a number was meant."""

    def __init__(self, what: str, number: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.number = number


def resolve(text: str) -> Any:
    """The value of an unquoted word: None, a bool, an int, a float, else ``text`` itself. Raises Odd."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return _whole(text, 10)
    if _LEADING_ZERO.fullmatch(text):
        raise Odd("is a number with a leading zero", text.lstrip("+-").lstrip("0") or "0")
    if _OCTAL_OR_HEX.fullmatch(text):
        return _whole(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise Odd("is a number beyond all bounds")
        return number
    if _NOT_FINITE.fullmatch(text):
        raise Odd("is not a finite number")
    if _DATE.fullmatch(text):
        raise Odd("looks like a date")
    return text


def _whole(digits: str, base: int) -> int:
    # checked before converting: Python refuses to convert more than some 4,300 digits
    number = int(digits, base) if len(digits) <= 32 else 1 << 2 * BITS
    if not -(1 << BITS - 1) <= number < 1 << BITS:
        raise Odd("is a number beyond 64 bits")
    return number

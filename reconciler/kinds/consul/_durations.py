"""Durations as Go reads and writes them: Consul stores ``"90s"`` and answers ``"1m30s"``."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_UNITS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE: Final = re.compile(rf"(?P<sign>[+-]?)(?:(?P<parts>(?:{_PART.pattern})+)|0)")


def nanoseconds(text: str) -> int:
    """The duration that Go's ``time.ParseDuration`` reads out of ``text``. Raises ValueError."""
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration")
    total = sum(int(Fraction(number) * _UNITS[unit]) for number, unit in _PART.findall(match["parts"] or ""))
    return -total if match["sign"] == "-" else total


def go_text(duration_ns: int) -> str:
    """The text that Go's ``Duration.String`` makes of a number of nanoseconds."""
    if duration_ns < 0:
        return f"-{go_text(-duration_ns)}"
    if duration_ns < 10**9:
        unit = next((u for u in ("ms", "µs") if duration_ns >= _UNITS[u]), "ns")
        return "0s" if duration_ns == 0 else f"{_decimal(Fraction(duration_ns, _UNITS[unit]))}{unit}"
    minutes, rest = divmod(duration_ns, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(Fraction(rest, 10**9))}s"
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}" if minutes else text


def _decimal(number: Fraction) -> str:
    whole, part = divmod(number, 1)
    digits = f"{int(part * 10**9):09d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)

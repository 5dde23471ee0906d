"""Text that somebody else wrote, made harmless in Markdown as GitHub and GitLab read it.

Everything of others is code, in which nothing is read, and which neither site searches for ``@somebody`` or ``#1``: a fenced block, a span between
backticks, or, for what has backticks or the pipe that ends a cell, a ``<code>`` element in which every character that could mean anything is a
numeric reference, which never begins a structure (CommonMark 0.31 §2.5).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Final

from reconciler.report.characters import visible
from reconciler.report.paint import Paint

LONGEST_CELL: Final = 300
"""Characters of a name or a reason that a table shows."""

LONGEST_LINE: Final = 2000
"""Characters of a line that a block shows: a value may have half a million."""

_WIDTH: Final = 110
_MEANS_SOMETHING: Final = re.compile(r"[^\w /.-]|_", re.ASCII)
_NOT_IN_A_SPAN: Final = frozenset("`|")
_BACKTICKS: Final = re.compile("`+")
_FENCE: Final = re.compile(" {0,3}`+ *")
_LONGEST_FENCE: Final = 100
_COLOURED: Final = re.compile(r"^( *)\x1b\[3[12]m([+-])(.*)$")
_COLOUR: Final = re.compile(r"\x1b\[\d*m")

PAINT: Final = Paint(on=True)
"""What lines are painted with that :func:`diff_line` takes: the colour tells a sign of ours from one that begins a value."""


def code(text: str) -> str:
    """A name or a short text of others, within a sentence or a cell."""
    shown = elided(visible(text), LONGEST_CELL)
    if shown.strip() == shown and shown and not _NOT_IN_A_SPAN.intersection(shown):
        return f"`{shown}`"
    return f"<code>{_MEANS_SOMETHING.sub(lambda found: _reference(found[0]), shown)}</code>"


def block(lines: Iterable[str], language: str = "text") -> str:
    """A fenced block of lines that have no line ends in them."""
    # cmark counts up to 255 backticks of a fence, so a longer run would end any block: a line of nothing else is indented, which no closing fence is.
    kept = [f"    {line}" if _FENCE.fullmatch(line) else line for line in lines]
    fence = "`" * max(3, *(min(len(run), _LONGEST_FENCE) + 1 for line in kept for run in _BACKTICKS.findall(line)), 0)
    return "\n".join((f"{fence}{language}", *kept, fence))


def wrapped(text: str) -> list[str]:
    """A sentence as lines that need no scrolling, for :func:`block`; words are not divided, so that what is to be typed stays whole."""
    lines = [visible(line) for line in text.split("\n")]
    return [
        elided(part, LONGEST_LINE)
        for line in lines
        for part in textwrap.wrap(line, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False) or [""]
    ]


def diff_lines(lines: Iterable[str]) -> list[str]:
    """Lines painted with :data:`PAINT` for a block in the language ``diff``: signs stand first, where the sites look for them."""
    return [elided(_COLOUR.sub("", _sign_first(line)).rstrip(), LONGEST_LINE) for line in lines]


def elided(text: str, longest: int) -> str:
    """``text``, of which what is too much is left out, saying how much."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text) - longest} more characters)"


def size(text: str) -> int:
    """In bytes, which no site's way of counting characters exceeds."""
    return len(text.encode("utf-8"))


def _sign_first(line: str) -> str:
    found = _COLOURED.match(line)
    if found is None:
        return line
    indent, sign, rest = found.groups()
    return f"{sign}{indent}{rest}"


def _reference(char: str) -> str:
    # Other letters and symbols than ASCII's mean nothing in Markdown.
    return char if ord(char) > 0x7F else f"&#{ord(char)};"

"""A unified diff of two texts, aligned by their blocks.

The shortest difference is often not the one that was made: a block that is added beside another of the same form is then shown as if the closing
lines of the one belonged to the other. ACL rules consist of such blocks, and who reviews them must see which of them changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

from reconciler.report.characters import visible_line
from reconciler.report.paint import Colour, Paint

CONTEXT_LINES: Final = 3
SHORT_TEXT_LINES: Final = 20
"""Up to this many, a text is shown whole, without positions."""

Opcode = tuple[str, int, int, int, int]
"""As of :class:`difflib.SequenceMatcher`: what became of lines i1 to i2 of the one text and j1 to j2 of the other."""


def text_difference(before: str, after: str, paint: Paint) -> list[str]:
    """The lines of the diff, each with its sign; what does not show as itself is escaped."""
    one, other = lines_of(before), lines_of(after)
    whole = max(len(one), len(other)) <= SHORT_TEXT_LINES
    lines: list[str] = []
    for group in _grouped(_joined(_aligned(one, other)), SHORT_TEXT_LINES if whole else CONTEXT_LINES):
        if not whole:
            lines.append(paint(_position(group), Colour.FAINT))
        lines += [line for opcode in group for line in _hunk(opcode, one, other, paint)]
    if before and after and before.endswith("\n") != after.endswith("\n"):
        lines.append(paint("(the line end at the very end was " + ("removed)" if before.endswith("\n") else "added)"), Colour.FAINT))
    return lines


def lines_of(text: str) -> list[str]:
    """The lines of a text without their ends; only the line feed ends one."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _aligned(one: Sequence[str], other: Sequence[str]) -> Iterator[Opcode]:
    """Opcodes for which blocks that begin with the same line are compared with each other."""
    mine, theirs = _starts(one), _starts(other)
    heads = SequenceMatcher(None, [one[i] for i in mine[:-1]], [other[j] for j in theirs[:-1]], autojunk=False)
    i = j = 0
    for first, second, size in heads.get_matching_blocks():
        for offset in range(size):
            yield from _compared(one, other, i, mine[first + offset], j, theirs[second + offset])
            i, j = mine[first + offset], theirs[second + offset]
            yield from _compared(one, other, i, mine[first + offset + 1], j, theirs[second + offset + 1])
            i, j = mine[first + offset + 1], theirs[second + offset + 1]
    yield from _compared(one, other, i, len(one), j, len(other))


def _starts(lines: Sequence[str]) -> list[int]:
    """Where blocks begin: at a line that is not indented after an empty one. The end of the text stands last."""
    first = [0] if lines else []
    return first + [n for n in range(1, len(lines)) if not lines[n - 1].strip() and lines[n].strip() and not lines[n][0].isspace()] + [len(lines)]


def _compared(one: Sequence[str], other: Sequence[str], i1: int, i2: int, j1: int, j2: int) -> Iterator[Opcode]:
    for tag, a1, a2, b1, b2 in SequenceMatcher(None, one[i1:i2], other[j1:j2]).get_opcodes():
        yield tag, i1 + a1, i1 + a2, j1 + b1, j1 + b2


def _joined(opcodes: Iterator[Opcode]) -> list[Opcode]:
    """Neighbours of one tag as one, which is what makes hunks and keeps removed lines before added ones."""
    joined: list[Opcode] = []
    for tag, i1, i2, j1, j2 in opcodes:
        if joined and joined[-1][0] == tag:
            joined[-1] = (tag, joined[-1][1], i2, joined[-1][3], j2)
        else:
            joined.append((tag, i1, i2, j1, j2))
    return joined


def _grouped(opcodes: Sequence[Opcode], context: int) -> Iterator[list[Opcode]]:
    """Opcodes in groups, cut where more lines are equal than both sides need as context."""
    group: list[Opcode] = []
    for number, (tag, i1, i2, j1, j2) in enumerate(opcodes):
        if tag != "equal":
            group.append((tag, i1, i2, j1, j2))
            continue
        before = min(i2 - i1, context) if group else 0
        after = min(i2 - i1, context) if number + 1 < len(opcodes) else 0
        if group and after and before + after >= i2 - i1:
            group.append((tag, i1, i2, j1, j2))
            continue
        if group:
            yield [*group, (tag, i1, i1 + before, j1, j1 + before)]
        group = [(tag, i2 - after, i2, j2 - after, j2)] if after else []
    if group:
        yield group


def _position(group: Sequence[Opcode]) -> str:
    first, last = group[0], group[-1]
    return f"@@ -{first[1] + 1},{last[2] - first[1]} +{first[3] + 1},{last[4] - first[3]} @@"


def _hunk(opcode: Opcode, one: Sequence[str], other: Sequence[str], paint: Paint) -> list[str]:
    tag, i1, i2, j1, j2 = opcode
    if tag == "equal":
        return [f"  {visible_line(line)}".rstrip() for line in one[i1:i2]]
    removed = [paint(f"- {visible_line(line)}".rstrip(), Colour.REMOVED) for line in one[i1:i2]]
    return removed + [paint(f"+ {visible_line(line)}".rstrip(), Colour.ADDED) for line in other[j1:j2]]

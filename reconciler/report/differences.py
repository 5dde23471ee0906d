"""One field that differs, as lines to read: ``path: before → after``, items of a list with + and -, a unified diff inside texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.model.change import FieldChange
from reconciler.model.secret import MASK, Hidden
from reconciler.model.value import ABSENT, Digest, Path, Value
from reconciler.report.characters import visible, visible_line
from reconciler.report.line_diff import lines_of, text_difference
from reconciler.report.paint import Colour, Paint
from reconciler.report.values import NOT_SET, block, dotted, is_masked, masked_text, one_line, secret_state, text_of

WIDTH: Final = 120
"""Characters up to which two values stand side by side."""

_CONTEXT_CHARACTERS: Final = 40

Lines = Iterator[str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of a report's core: a path and two values, neither of them a mapping when the other is one as well."""

    path: Path
    before: Value
    after: Value


def field_lines(change: FieldChange, paint: Paint, *, mark_drift: bool = False) -> list[str]:
    """How a changed field reads. ``mark_drift``: say of the field that it drifted, because others in the same change did not."""
    mark = " (drifted)" if mark_drift and change.drifted else ""
    if change.parts and not _short(change.before, change.after):
        parts = _inner_parts(change)
        if parts:
            return [line for part in parts for line in _lines(Difference(part.path, part.before, part.after), paint, mark)]
    found = [d for d in inner_differences(change.path, change.before, change.after) if not _alike(d)]
    if not found:
        # All that differs is masked or means another thing under the same letters.
        return [f"{dotted(change.path)}: changed{mark}"]
    return [line for difference in found for line in _lines(difference, paint, mark)]


def value_lines(path: Path, value: Value) -> list[str]:
    """How a field of something new reads: nothing to compare it with."""
    return [line for d in inner_differences(path, ABSENT, value) for line in _new(d)]


def inner_differences(path: Path, before: Value, after: Value) -> Iterator[Difference]:
    """Mappings are taken apart, so that each differing entry stands alone under its full path."""
    sides = (before, after)
    if any(isinstance(s, Mapping) and s for s in sides) and all(isinstance(s, Mapping) or s is ABSENT for s in sides):
        one, other = (s if isinstance(s, Mapping) else {} for s in sides)
        for key in sorted({*one, *other}):
            have, want = one.get(key, ABSENT), other.get(key, ABSENT)
            if _worth_showing(have, want):
                yield from inner_differences((*path, str(key)), have, want)
    else:
        yield Difference(path, before, after)


def _lines(difference: Difference, paint: Paint, mark: str) -> list[str]:
    head = f"{dotted(difference.path)}:"
    before, after = difference.before, difference.after
    state = secret_state(before, after)
    if state is not None:
        return [f"{head} {_secret(before, after, state)}{mark}"]
    if isinstance(before, Digest) or isinstance(after, Digest):
        return [f"{head} changed (of a text this long only a digest is kept){mark}"]
    texts = text_of(before), text_of(after)
    comparable = all(text is not None or side is ABSENT for text, side in zip(texts, (before, after), strict=True))
    if comparable and any(_has_lines(text) for text in texts):
        inner = text_difference(texts[0] or "", texts[1] or "", paint)
    elif isinstance(before, list | tuple) or isinstance(after, list | tuple):
        inner = _list_difference(before, after, paint)
    elif _short(before, after):
        return [f"{head} {one_line(before)} → {one_line(after)}{mark}"]
    else:
        old, new = _elided(one_line(before), one_line(after))
        inner = [paint(f"- {old}", Colour.REMOVED), paint(f"+ {new}", Colour.ADDED)]
    return [f"{head}{mark}", *(f"  {line}" for line in inner)]


def _new(difference: Difference) -> list[str]:
    head, value = f"{dotted(difference.path)}:", difference.after
    text = None if is_masked(value) else text_of(value)
    if text is not None and _has_lines(text):
        lines = [visible_line(line) for line in lines_of(text)]
        return [head, *(f"  {line}" if line else "" for line in lines)]
    shown = one_line(value)
    if isinstance(value, list | tuple) and len(shown) > WIDTH:
        return [head, *(f"  {line}" for line in block(value))]
    return [f"{head} {shown}"]


def _secret(before: Value, after: Value, state: str) -> str:
    hidden = next((s for s in (before, after) if isinstance(s, Hidden)), None)
    if hidden is not None:
        return f"cannot compare ({visible(hidden.why)})"
    old, new = (NOT_SET if s is ABSENT else masked_text(s) if is_masked(s) else MASK for s in (before, after))
    return f"{MASK} {state}" if old == new else f"{old} → {new}"


def _list_difference(before: Value, after: Value, paint: Paint) -> list[str]:
    if not all(isinstance(s, list | tuple) or s is ABSENT for s in (before, after)):
        return [paint(f"- {one_line(before)}", Colour.REMOVED), paint(f"+ {one_line(after)}", Colour.ADDED)]
    one, other = ([] if s is ABSENT else list(s) for s in (before, after))
    if any(len(one_line(item)) > WIDTH for item in (*one, *other)):
        return text_difference("\n".join(block(one)) if one else "", "\n".join(block(other)) if other else "", paint)
    gone, come = _without(one, other), _without(other, one)
    if not gone and not come:
        # Only the order differs (or one of them is an explicit empty list): both as they are.
        return [paint(f"- {one_line(before)}", Colour.REMOVED), paint(f"+ {one_line(after)}", Colour.ADDED)]
    return [*_items("- ", Colour.REMOVED, gone, paint), *_items("+ ", Colour.ADDED, come, paint)]


def _items(symbol: str, colour: Colour, items: Sequence[Value], paint: Paint) -> list[str]:
    return [paint(f"{symbol}{one_line(item, inside=True)}", colour) for item in items]


def _without(items: Sequence[Value], others: Sequence[Value]) -> list[Value]:
    """Those of ``items`` that ``others`` does not have, each as often as it has it less often."""
    left = list(others)
    only: list[Value] = []
    for item in items:
        if item in left:
            left.remove(item)
        else:
            only.append(item)
    return only


def _inner_parts(change: FieldChange) -> tuple[FieldChange, ...]:
    """The engine's differences inside a list, when they are only inside its items: whole items read better with + and -."""
    if not isinstance(change.before, list) or not isinstance(change.after, list) or len(change.before) != len(change.after):
        return ()
    return change.parts if all(len(part.path) > len(change.path) + 1 for part in change.parts) else ()


def _short(before: Value, after: Value) -> bool:
    return len(one_line(before)) + len(one_line(after)) <= WIDTH


def _worth_showing(have: Value, want: Value) -> bool:
    state = secret_state(have, want)
    if state is not None:
        return state != "unchanged"
    return have is not want and not (type(have) is type(want) and have == want)


def _alike(difference: Difference) -> bool:
    """Whether two values would read the same although they are not masked; such a line tells nothing."""
    before, after = difference.before, difference.after
    if secret_state(before, after) is not None:
        return False
    texts = text_of(before), text_of(after)
    return texts[0] == texts[1] if None not in texts else one_line(before) == one_line(after)


def _elided(one: str, other: str) -> tuple[str, str]:
    """Two long texts without most of what they share at both ends."""
    shortest = min(len(one), len(other))
    start = next((i for i in range(shortest) if one[i] != other[i]), shortest)
    end = next((i for i in range(shortest - start) if one[-1 - i] != other[-1 - i]), shortest - start)
    head, tail = max(0, start - _CONTEXT_CHARACTERS), max(0, end - _CONTEXT_CHARACTERS)

    def cut(text: str) -> str:
        return ("…" if head else "") + text[head : len(text) - tail] + ("…" if tail else "")

    return cut(one), cut(other)


def _has_lines(text: str | None) -> bool:
    return text is not None and "\n" in text.rstrip("\n")

"""How a validator says what is wrong, in words for the person who wrote the manifest."""

from __future__ import annotations

from collections.abc import Sequence

PathPart = str | int


class Mistake(ValueError):
    """One wrong value. ``what`` begins with a verb (``must be …``), because the field's name is put before it; ``path`` leads further in.

    ``at_key``: it is the key at the end of the path that is wrong, not the value.
    """

    def __init__(self, what: str, what_to_do: str = "", path: Sequence[PathPart] = (), *, at_key: bool = False) -> None:
        super().__init__(f"{what}: {what_to_do}" if what_to_do else what)
        self.what = what
        self.what_to_do = what_to_do
        self.path = tuple(path)
        self.at_key = at_key


class Mistakes(ValueError):
    """Several wrong values inside one."""

    def __init__(self, each: Sequence[Mistake]) -> None:
        super().__init__("; ".join(map(str, each)))
        self.each = tuple(each)


def printable(text: str) -> str:
    """``text`` with what does not print, line breaks included, written as escapes: a message is one line, and nothing in it moves the cursor."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text)


def shown(text: str, limit: int = 60) -> str:
    """``text`` in quotes for a message, cut after ``limit`` characters."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return '"' + printable(cut).replace('"', '\\"') + '"'

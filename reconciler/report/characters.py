"""Text from live systems made harmless for a terminal, and our own made fit for one that has no Unicode.

A value that somebody else wrote may hold escape sequences that recolour, move or retitle a terminal, and marks that turn the direction of the
text around (CVE-2021-42574), so that a reviewer would read another plan than the one that runs.
"""

from __future__ import annotations

from typing import Final

_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ASCII: Final = str.maketrans({"→": "->", "✓": "+", "»": ">>", "×": "x", "…": "..."})


def visible(text: str) -> str:
    """``text`` with everything that does not show as itself written as an escape: controls, direction marks, odd spaces, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def visible_lines(text: str) -> str:
    """:func:`visible` for each line of a message that may have several."""
    return "\n".join(visible(line) for line in text.split("\n"))


def visible_line(line: str) -> str:
    """One line of a text, as :func:`visible`; a blank at its end is escaped too, because nobody could see it."""
    shown = visible(line)
    return f"{shown[:-1]}\\x20" if shown.endswith(" ") else shown


def quoted(text: str) -> str:
    """``text`` in double quotes, so that it can be told from everything else."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{visible(escaped)}"'


def encodable(text: str, encoding: str | None) -> str:
    """``text`` such that ``encoding`` (of a stream; None is ASCII) can hold it: our own symbols in ASCII, any other character escaped."""
    try:
        text.encode(encoding or "ascii")
    except LookupError:
        return encodable(text, "ascii")
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding or "ascii", "backslashreplace").decode(encoding or "ascii")
    return text


def _escape(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

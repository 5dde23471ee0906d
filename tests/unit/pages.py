"""Reads the pages of the documentation: their blocks, spans, links, tables, and the command lines in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click

from reconciler.cli.main import reconciler as program

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")])
README = ROOT / "README.md"
MANIFEST = ROOT / "docs" / "manifest.md"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:^ {4}\S.*\n)+", re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_CALL = re.compile(r"\breconciler +([a-z-][^|;)\n]*)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_OWN_WORDS = ("FILE", "NAME", "ADDRESS", "GLOB", "N", "…", "[")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, where it begins."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    text = text_of(page)
    return [Block(page, text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in FENCE.finditer(text)]


def spans(page: Path) -> list[str]:
    return SPAN.findall(FENCE.sub("", text_of(page)))


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(program))


def options(command: click.Command) -> set[str]:
    return {"-h", "--help", *(o for p in command.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts))}


EVERY_OPTION = {o for command in (program, *ALL.values()) for o in options(command)}


def calls(page: Path) -> list[str]:
    """What follows ``reconciler`` wherever a command line stands: in blocks and in spans."""
    shells = [b.text for b in blocks(page) if b.language in ("", "sh", "console")]
    lines = [line for text in (*shells, *_INDENTED.findall(FENCE.sub("", text_of(page)))) for line in text.splitlines()]
    typed = [line.split("#")[0] for line in lines if re.search(r"(^|\$ |root |\(|^ +)reconciler ", line.split("#")[0])]
    return [m[1].strip() for line in (*typed, *(s for s in spans(page) if s.startswith("reconciler "))) for m in _CALL.finditer(line)]


def is_a_call(arguments: str) -> str:
    """Empty when the program would take these arguments, else why not. Placeholders stand for anything."""
    words = [w for w in shlex.split(arguments, comments=True) if not re.fullmatch(r"\d?>.*", w)]
    path: tuple[str, ...] = ()
    while words and (*path, words[0]) in ALL:
        path = (*path, words.pop(0))
    if not path:
        return "" if words and words[0] in options(program) else f"there is no command {words[:1]}"
    command = ALL[path]
    if isinstance(command, click.Group):
        return f"there is no command {' '.join((*path, *words[:1]))}" if words else ""
    unknown = [w for w in words if w.startswith("-") and w.partition("=")[0] not in options(command)]
    if unknown:
        return f"{' '.join(path)} has no option {unknown[0]}"
    known = {o: p for p in command.params if isinstance(p, click.Option) for o in p.opts}
    arguments_left = list(words)
    for word in words:
        if word in known and not known[word].is_flag and not known[word].count:
            index = arguments_left.index(word)
            if len(arguments_left) < index + 2:
                return f"{word} has no value"
            value = arguments_left[index + 1]
            if not value.startswith(_OWN_WORDS):
                known[word].type_cast_value(click.Context(command), (value,) if known[word].multiple else value)
            del arguments_left[index : index + 2]
    return ""


def anchors(page: Path) -> set[str]:
    """As GitHub and GitLab make them: lower case, punctuation dropped, spaces as dashes."""
    titles = _HEADING.findall(FENCE.sub("", text_of(page)))
    return {re.sub(r"[^\w\- ]", "", re.sub(r"`", "", t).lower()).replace(" ", "-") for t in titles}


def tables(page: Path) -> dict[tuple[str, str], set[str]]:
    """The first column of every table, by the heading above it and the title of the column; only what stands there as code."""
    found: dict[tuple[str, str], set[str]] = {}
    heading = title = ""
    for line in FENCE.sub("", text_of(page)).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            title = ""
        elif not title:
            title = line.split("|")[1].strip()
            found.setdefault((heading, title), set())
        else:
            found[heading, title] |= set(SPAN.findall(line.split("|")[1]))
    return found

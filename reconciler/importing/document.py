"""The text of a manifest: sections in the order of the format, in them the entries of one service together, and comments for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from pydantic import BaseModel

from reconciler.importing.choosing import Entry
from reconciler.manifest.model_lookup import known_keys
from reconciler.manifest.models import Manifest
from reconciler.manifest.section import Entry as Options
from reconciler.manifest.writing import comment, entry, key
from reconciler.model.importing import LEFT_AS_IT_IS, Needed

_SCHEMA_LINE: Final = "yaml-language-server: $schema=manifest.schema.json"
_WITHOUT_SERVICE: Final = "of no service"


@dataclass(frozen=True, slots=True)
class Block:
    """One entry of the manifest, which may say several resources."""

    section: tuple[str, ...]
    label: str | None
    body: Any
    entries: tuple[Entry, ...]
    group: str

    @property
    def notes(self) -> list[str]:
        """The comments on it, each once; what begins alike is a list."""
        every = list(dict.fromkeys(note for one in self.entries for note in one.said.notes))
        left = [note.removeprefix(LEFT_AS_IT_IS) for note in every if note.startswith(LEFT_AS_IT_IS)]
        if len(left) < 2:
            return every
        return [*(n for n in every if not n.startswith(LEFT_AS_IT_IS)), "\n".join([LEFT_AS_IT_IS.rstrip(), *(f"  {what}" for what in left)])]


@dataclass(frozen=True, slots=True)
class Document:
    """A text, and which entries stand on which of its lines (first and last, counted from 1)."""

    text: str
    lines: tuple[tuple[int, int, Block], ...]
    variables: tuple[tuple[str, Needed], ...]


def document(name: str, taken: Iterable[Entry], opening: Sequence[str] = (), closing: Sequence[str] = ()) -> Document:
    """The manifest ``name`` that says ``taken``. ``opening`` and ``closing`` are comments."""
    blocks = sorted(_blocks(taken), key=_place)
    named = _variables(blocks)
    page = _Page()
    page.add(comment(_SCHEMA_LINE))
    for text in opening:
        page.add(comment(text))
    if named:
        page.add(comment("These environment variables must be set for plan and apply; {generate: …} or another reference may stand in their place:"))
        page.add(comment("\n".join(f"  {variable}: {needed.what}" for variable, needed in named)))
    page.add(entry("version", 1, 0) + entry("name", name, 0))
    groups = {block.group for block in blocks}
    before: tuple[str, ...] = ()
    for section, members in groupby(blocks, key=lambda block: block.section):
        page.begin(section, before)
        before = section
        for group, members_of_it in groupby(members, key=lambda block: block.group):
            each = list(members_of_it)
            # where all are called after the service, a comment would only say it again
            if len(groups) > 1 and not all(group and (block.label or "").startswith(group) for block in each):
                page.add(comment(group or _WITHOUT_SERVICE, len(section)))
            for block in each:
                page.add_block(block, {id(needed): variable for variable, needed in named})
    if closing:
        page.add("\n" + "".join(comment(text) for text in closing))
    return Document(page.text, tuple(page.lines), named)


class _Page:
    def __init__(self) -> None:
        self.text = ""
        self.lines: list[tuple[int, int, Block]] = []

    def add(self, text: str) -> None:
        self.text += text

    def begin(self, section: tuple[str, ...], before: tuple[str, ...]) -> None:
        """The lines of a section that are not there yet, after an empty one for each at the top."""
        common = next((n for n, (a, b) in enumerate(zip(section, before, strict=False)) if a != b), min(len(section), len(before)))
        for depth in range(common, len(section)):
            self.add(("\n" if depth == 0 else "") + key(section[depth], depth))

    def add_block(self, block: Block, names: Mapping[int, str]) -> None:
        """One entry, with its comments."""
        depth = len(block.section)
        for note in block.notes:
            self.add(comment(note, depth))
        first = self.text.count("\n") + 1
        self.add(entry(block.label, _resolved(block.body, names), depth))
        self.lines.append((first, self.text.count("\n"), block))


def _blocks(taken: Iterable[Entry]) -> list[Block]:
    """The entries of the manifest: what stands under one label is one of them."""
    blocks: dict[Any, Block] = {}
    for one in taken:
        said = one.said
        block = blocks.get(one.place)
        if block is None:
            blocks[one.place] = Block(said.section, said.label, said.body, (one,), one.group)
        else:
            blocks[one.place] = Block(said.section, said.label, _merged(block.body, said.body), (*block.entries, one), block.group)
    return [replace(block, body=_in_order(block)) if len(block.entries) > 1 else block for block in blocks.values()]


def _in_order(block: Block) -> Any:
    """What several entries say together, in the order of the format; what becomes of it when it is gone comes last."""
    keys = known_keys((*block.section, block.label or 0))
    last = len(keys)
    order = {key: place + (last if key in Options.model_fields else 0) for place, key in enumerate(keys)}
    return dict(sorted(block.body.items(), key=lambda item: order.get(item[0], last)))


def _merged(one: Any, other: Any) -> Any:
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return other
    return {**one, **{name: _merged(one[name], value) if name in one else value for name, value in other.items()}}


def _place(block: Block) -> tuple[Any, ...]:
    """Where a block stands: the section's place in the format, those without a service last, then by name."""
    order: list[int] = []
    model: Any = Manifest
    for part in block.section:
        order.append(list(model.model_fields).index(part))
        model = model.model_fields[part].annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            break
    return tuple(order), not block.group, block.group, block.label or "", block.entries[0].address


def _variables(blocks: Iterable[Block]) -> tuple[tuple[str, Needed], ...]:
    """A name of its own for each secret, in the order of the text."""
    named: dict[str, Needed] = {}
    for block in blocks:
        for needed in _needed(block.body):
            number, variable = 1, needed.variable
            while variable in named:
                number += 1
                variable = f"{needed.variable}_{number}"
            named[variable] = needed
    return tuple(named.items())


def _needed(body: Any) -> Iterable[Needed]:
    if isinstance(body, Needed):
        yield body
    elif isinstance(body, Mapping | list):
        for inner in body.values() if isinstance(body, Mapping) else body:
            yield from _needed(inner)


def _resolved(body: Any, names: Mapping[int, str]) -> Any:
    if isinstance(body, Needed):
        return {"env": names[id(body)]}
    if isinstance(body, Mapping):
        return {name: _resolved(value, names) for name, value in body.items()}
    return [_resolved(value, names) for value in body] if isinstance(body, list) else body

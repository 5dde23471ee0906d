"""From files to a :class:`~reconciler.manifest.loaded.LoadedManifest`, or to all mistakes at once."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.merging import merged
from reconciler.manifest.models import Manifest
from reconciler.manifest.reading import read
from reconciler.manifest.references import broken_references
from reconciler.manifest.rules import broken_rules, warnings
from reconciler.manifest.source import PARSERS, Events, parse
from reconciler.manifest.tree import Node, TreePath, plain
from reconciler.manifest.wording import errors, troubles
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError


def load(paths: Sequence[str | os.PathLike[str]]) -> LoadedManifest:
    """The manifest in ``paths``, the later ones merged over the earlier. Raises ManifestError with every mistake there is."""
    if not paths:
        raise ManifestError([Diagnostic(None, "", "no manifest is given", "give the path of one")])
    texts: list[tuple[str, str]] = []
    unreadable: list[Diagnostic] = []
    for path in map(Path, paths):
        try:
            texts.append((str(path), read(path)))
        except ManifestError as error:
            unreadable += error.diagnostics
    if unreadable:
        raise ManifestError(unreadable)
    return replace(load_texts(texts, Path(paths[0]).parent), files=tuple(str(path) for path in paths))


def load_text(text: str, directory: Path = Path(), file: str = "manifest.yaml") -> LoadedManifest:
    """The manifest in one text; ``file`` is what its places say."""
    return load_texts([(file, text)], directory)


def load_texts(texts: Sequence[tuple[str, str]], directory: Path, parsers: Sequence[Events] = PARSERS) -> LoadedManifest:
    """The manifest in texts with their file names, merged like files. Relative paths are relative to ``directory``."""
    with _without_collecting():
        return _load(texts, directory, parsers)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Without the garbage collector, which finds nothing in trees that are kept, and takes a third of the time of a large manifest."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _load(texts: Sequence[tuple[str, str]], directory: Path, parsers: Sequence[Events]) -> LoadedManifest:
    trees = _parsed(texts, parsers)
    root = merged(trees)
    order = {file: index for index, (file, _) in enumerate(texts)}
    wrong = [diagnostic for tree in trees for diagnostic in troubles(tree)]
    wrong += broken_references(root)
    document = plain(root)
    try:
        manifest = Manifest.model_validate(document, context={"directory": directory})
    except ValidationError as error:
        found = list(errors(root, error))
        partial = _sound_part(document, [path for path, _ in found], directory)
        rest = broken_rules(partial, root) if partial is not None else ()
        sound = LoadedManifest(partial, directory, root) if partial is not None else None
        raise ManifestError(_sorted([*wrong, *(d for _, d in found if d is not None), *rest], order), sound) from None
    wrong += broken_rules(manifest, root)
    if wrong:
        raise ManifestError(_sorted(wrong, order), LoadedManifest(manifest, directory, root))
    return LoadedManifest(manifest, directory, root, tuple(_sorted(warnings(manifest, root), order)))


def _parsed(texts: Iterable[tuple[str, str]], parsers: Sequence[Events]) -> list[Node]:
    trees: list[Node] = []
    failed: list[Diagnostic] = []
    for file, text in texts:
        try:
            trees.append(parse(text, file, parsers))
        except ManifestError as error:
            failed += error.diagnostics
    if failed:
        raise ManifestError(failed)
    return trees


def _sorted(diagnostics: Iterable[Diagnostic], order: dict[str, int]) -> list[Diagnostic]:
    """In the order of the files and of the lines in them, each once."""

    def key(d: Diagnostic) -> tuple[int, int, int, str, str]:
        line, column = (d.place.line, d.place.column) if d.place else (0, 0)
        return order.get(d.place.file, 0) if d.place else -1, line, column, d.subject, d.what

    return sorted(dict.fromkeys(diagnostics), key=key)


def _sound_part(document: dict[str, Any], wrong: Iterable[TreePath], directory: Path) -> Manifest | None:
    """The manifest without its wrong entries, so that the rules between the others can be checked in the same run."""
    reduced: dict[str, Any] = {**document, "version": 1, "name": "x"}
    for path in wrong:
        _without(reduced, path)
    try:
        return Manifest.model_validate(reduced, context={"directory": directory})
    except ValidationError:
        return None


def _without(document: dict[str, Any], path: TreePath) -> None:
    """Take out the entry that ``path`` leads into; of a list a harmless entry stays, because places go by the index."""
    if not path or path[0] not in document or path[0] in ("version", "name"):
        return
    section = document[path[0]]
    depth = 2 if path[0] == "mesh_credentials" else 1
    for part in path[1:depth]:
        section = section.get(part) if isinstance(section, dict) else None
    label = path[depth] if len(path) > depth else None
    if isinstance(section, list) and isinstance(label, int):
        section[label] = {"Kind": "service-defaults", "Name": f"wrong-entry-{label}"}
    elif isinstance(section, dict) and label is not None and path[0] != "consul":
        section.pop(label, None)
    else:
        document.pop(path[0])

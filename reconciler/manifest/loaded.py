"""A manifest that was read, validated and found sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.manifest.features import features
from reconciler.manifest.mistake import PathPart
from reconciler.manifest.models import Manifest
from reconciler.manifest.tree import Node, entry_spot, place, spot_of
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.resource import Place


@dataclass(frozen=True, slots=True)
class LoadedManifest:
    """The models, and where everything in them stands.

    ``directory`` is the folder of the first file, which relative paths of secrets and sources are relative to. ``document`` is the merged tree
    that the models were made of. ``files`` are their paths as they were given. ``sources`` are contents of files that it names, where they are
    not to be read from there any more.
    """

    manifest: Manifest
    directory: Path
    document: Node = field(repr=False)
    warnings: tuple[Diagnostic, ...] = ()
    files: tuple[str, ...] = ()
    sources: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The manifest's name: the owner of what it creates."""
        return self.manifest.name

    def source(self, path: str) -> bytes:
        """The content of a file that the manifest names as the source of another. Raises OSError."""
        return self.sources[path] if path in self.sources else (self.directory / path).read_bytes()

    def place(self, *path: PathPart) -> Place:
        """Where the value at ``path`` stands, or the nearest one around it: ``place("kv", "a/b", "value")``.

        For an entry, a mapping or a list it is the place of its key, for any other value its own.
        """
        return place(entry_spot(self.document, path) or spot_of(self.document, path))

    def features(self) -> Iterator[tuple[str, str, Place]]:
        """Everything used that takes a kind or a capability of a system: its name, what uses it (as in an address), and where."""
        for feature, subject, path in features(self.manifest):
            yield feature, subject, self.place(*path)

"""What the laws must know of a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from .mesh import Mesh

Manifest = dict[str, Any]
Act = Callable[[Mesh], Any]


@dataclass(frozen=True)
class Specimen:
    """A resource with the name ``n`` in a manifest.

    ``entry`` is the path of its entry in ``manifest``; ``around`` is the manifest with the entry removed and what it needs kept.
    ``variants``: the entry with one field changed, by the path of that field as a plan shows it. ``edit`` changes the field ``edited`` behind
    the tool's back, ``edit_unset`` one that the manifest does not set. ``make`` makes an equal one, ``make_other`` a different one.
    ``has_incarnation``: whether
    one that was made anew can be told from ours. ``option_entry`` is where options such as ``protect`` go, when not into the entry. ``leftovers``
    remove what ``make`` made besides the resource itself, where it is still there. ``damages`` are more such edits, each with the field that they
    change. None for ``edit`` and ``make_other``: nothing of it could be different. ``on_machine``: it takes a machine of the mesh.
    ``is_importable``: whether import can find it, where it can find any of its kind.
    """

    kind: str
    address: str
    entry: tuple[str | int, ...]
    manifest: Manifest
    variants: Mapping[str, Any]
    edited: str
    edit: Act | None
    remove: Act
    make: Act
    make_other: Act | None
    exists: Act
    edit_unset: Act | None = None
    read_unset: Act | None = None
    has_incarnation: bool = True
    option_entry: tuple[str, ...] | None = None
    leftovers: tuple[Act, ...] = ()
    damages: tuple[tuple[str, Act], ...] = ()
    on_machine: bool = False
    is_importable: bool = True

    def with_entry(self, entry: Any) -> Manifest:
        """The manifest with another entry in this one's place; None removes it."""
        manifest = deepcopy(self.manifest)
        inner: Any = manifest
        for key in self.entry[:-1]:
            inner = inner[key]
        if entry is None:
            del inner[self.entry[-1]]
        else:
            inner[self.entry[-1]] = entry
        return manifest

    def with_options(self, **options: Any) -> Manifest:
        """The manifest with options such as ``protect`` on the entry, or on the one that the entry belongs to."""
        manifest = deepcopy(self.manifest)
        inner: Any = manifest
        for key in self.option_entry or self.entry:
            inner = inner[key]
        (inner[0] if isinstance(inner, list) else inner).update(options)
        return manifest

    @property
    def removed(self) -> Manifest:
        return self.with_entry(None)


def without_policy(name: str) -> Act:
    """Remove the policy that somebody else made for a token or a role."""
    return lambda m: m.policy(name) and m.http("DELETE", f"/v1/acl/policy/{m.policy(name)['ID']}")

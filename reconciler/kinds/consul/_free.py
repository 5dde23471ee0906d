"""Comparing fields where emptiness is not always absence."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.field_rules import FieldRules
from reconciler.model.value import Path, Value


@dataclass(frozen=True, slots=True)
class FreeMapRules(FieldRules):
    """Rules under which a key in a free map is something even when its value is empty: ``meta: {probe: ""}`` is not ``meta: {}``.

    ``free`` are the paths of such maps, ``significant`` those of single fields whose emptiness is not their absence.
    """

    free: frozenset[Path] = frozenset()
    significant: frozenset[Path] = frozenset()

    def same(self, path: Path, one: Value, other: Value) -> bool:
        """Whether two values, or absences, mean the same."""
        if path in self.significant or any(len(path) > len(f) and path[: len(f)] == f for f in self.free):
            return bool(one == other)
        return FieldRules.same(self, path, one, other)

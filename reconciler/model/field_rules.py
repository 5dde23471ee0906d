"""How the fields of a kind are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.value import ABSENT, Path, Value, is_empty


@dataclass(frozen=True, slots=True)
class FieldRules:
    """How the fields of a kind are compared.

    ``whole``: mappings that belong wholly to the manifest (``"*"`` for any key). ``immutable``: top-level fields whose change means
    replacement. ``keeps``: top-level fields that stay as they are when the manifest stops setting them. ``defaults``: what a field that is
    not set means, where that is not emptiness; also what it is set to when it is unset. ``not_compared``: top-level fields that say how to
    create, write or delete it and nothing of how it is. ``renews``: the outputs that every write makes anew, such as a file's version.
    """

    whole: frozenset[Path] = frozenset()
    immutable: frozenset[str] = frozenset()
    keeps: frozenset[str] = frozenset()
    defaults: Mapping[str, Value] = field(default_factory=dict)
    not_compared: frozenset[str] = frozenset()
    renews: frozenset[str] = frozenset()

    def default(self, path: Path) -> Value:
        """What the absence of the field at ``path`` means."""
        return self.defaults.get(path[0], ABSENT) if len(path) == 1 else ABSENT

    def ignores(self, path: Path) -> bool:
        """Whether the field at ``path`` is never compared."""
        return path[0] in self.not_compared

    def same(self, path: Path, one: Value, other: Value) -> bool:
        """Whether two values, or absences, of the field at ``path`` mean the same."""
        if self.ignores(path):
            return True
        one, other = (self.default(path) if v is ABSENT else v for v in (one, other))
        return bool(one == other) or (is_empty(one) and is_empty(other))

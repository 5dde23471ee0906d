"""Where a config entry may hold a secret: a few fields by name, and the free maps, where a key may be called anything (docs/design.md §7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import PydanticCustomError, PydanticKnownError

from reconciler.manifest.mistake import Mistake, PathPart
from reconciler.manifest.secret_fields import SECRET, is_reference, within
from reconciler.manifest.sensitive import holds_private_key, is_sensitive_name
from reconciler.manifest.suggestion import folded
from reconciler.model.secret import Secret

FREE_MAPS: Final = frozenset({"add", "arguments", "config", "meta", "set"})
"""The fields of config entries that hold a free map, with their spelling folded."""

_KEY_SET: Final = "jwks"
"""A JSON Web Key Set, in jwt-provider; it may have more in it than public keys."""

_MATERIAL: Final[Mapping[str, Mapping[str, bool]]] = {"inline-certificate": {"privatekey": True, "certificate": False}}
"""Fields that take a reference, by kind, with the spelling folded; whether also a literal is a secret."""


def with_secrets(kind: object, body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config entry with its references parsed, and with literals that are secret as such. Raises Mistake or Mistakes."""
    material = _MATERIAL.get(str(kind), {})
    return {key: _outside(key, value, (key,)) if folded(key) not in material else _material(key, value, material) for key, value in body.items()}


def _material(key: str, value: Any, material: Mapping[str, bool]) -> Any:
    return value if isinstance(value, str) and not material[folded(key)] else _reference(value, (key,))


def _outside(key: str, value: Any, path: tuple[PathPart, ...]) -> Any:
    if isinstance(value, Mapping):
        if folded(key) == _KEY_SET:
            return _reference(value, path)
        if folded(key) in FREE_MAPS:
            # the map itself is none, whatever its key is called: Meta: {env: production}
            return {name: _inside(inner, (*path, name), masked=is_sensitive_name(str(name))) for name, inner in value.items()}
        return {name: _outside(str(name), inner, (*path, name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_outside(key if isinstance(inner, list) else "", inner, (*path, index)) for index, inner in enumerate(value)]
    return Secret(value) if folded(key) == _KEY_SET and isinstance(value, str) and holds_private_key(value) else value


def _inside(value: Any, path: tuple[PathPart, ...], *, masked: bool) -> Any:
    if is_reference(value):
        return _reference(value, path)
    if isinstance(value, Mapping):
        return {name: _inside(inner, (*path, name), masked=masked or is_sensitive_name(str(name))) for name, inner in value.items()}
    if isinstance(value, list):
        return [_inside(inner, (*path, index), masked=masked) for index, inner in enumerate(value)]
    return Secret(value) if masked and isinstance(value, str) and value else value


def _reference(value: Any, path: tuple[PathPart, ...]) -> Any:
    try:
        return within(SECRET.parse, value, *path)
    except (PydanticCustomError, PydanticKnownError):
        raise Mistake("must be text or a reference", "write {file: PATH}", path) from None

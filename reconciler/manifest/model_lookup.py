"""Which model stands at a path, so that a message can name its keys and what they are for."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reconciler.manifest.fields import Duration
from reconciler.manifest.mistake import PathPart
from reconciler.manifest.models import Manifest


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by their keys in a manifest."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _bare(annotation: Any) -> Any:
    """An annotation without its metadata and without None."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        others = [part for part in get_args(annotation) if part is not type(None)]
        return _bare(others[0]) if len(others) == 1 else annotation
    return annotation


def model_at(path: Sequence[PathPart]) -> type[BaseModel] | None:
    """The model whose instance stands at ``path``, a path as pydantic gives it; None where it is no model."""
    current: Any = Manifest
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = fields(current).get(str(part))
            current = _bare(field.annotation) if field is not None else None
        elif get_origin(current) in (dict, list):
            current = _bare(get_args(current)[-1])
        else:
            return None
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def known_keys(path: Sequence[PathPart]) -> tuple[str, ...]:
    """The keys of the mapping at ``path``, when it is one with known keys."""
    model = model_at(path)
    return tuple(fields(model)) if model is not None else ()


def is_duration(path: Sequence[PathPart]) -> bool:
    """Whether the field at ``path`` is a duration."""
    model = model_at(path[:-1]) if path else None
    field = fields(model).get(str(path[-1])) if model is not None else None
    return field is not None and _bare(field.annotation) is Duration


def purpose(path: Sequence[PathPart], key: str) -> str:
    """What the key is for, without the full stop."""
    model = model_at(path)
    field = fields(model).get(key) if model is not None else None
    return (field.description or "").rstrip(".") if field is not None else ""

"""What all sections and entries have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from reconciler.model.resource import OnRemoval

Choice = Annotated[OnRemoval, Field(strict=False)]

OPTIONS = ("on_removal", "protect", "adopt")
"""The keys that every entry may carry."""


class Section(BaseModel):
    """A mapping with known keys. Values are frozen and typed strictly; which keys were written is in ``model_fields_set``."""

    # Built at the first validation: a command that reads no manifest does not pay for some thirty models.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Entry(Section):
    """One entry that owns a resource."""

    on_removal: Choice | None = Field(
        default=None,
        description="What happens to the resource when this entry is removed. Default: delete what this manifest created, retain what it adopted.",
    )
    protect: bool = Field(default=False, description="Whether a plan that would delete or replace the resource is refused.")
    adopt: bool = Field(default=False, description="Whether to take over a resource that exists and differs.")


@dataclass(frozen=True, slots=True, eq=False)
class Shorthand:
    """A field that also takes a shorter form: ``expand`` makes the long form of it, ``schema`` the short form's JSON Schema of the long one's."""

    expand: Callable[[Any], Any]
    schema: Callable[[dict[str, Any]], dict[str, Any]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        long = handler(schema)
        return {"anyOf": [self.schema(long), long]}


def one_or_list(value: Any) -> Any:
    """A single mapping as a list of one."""
    return [value] if isinstance(value, Mapping) else value


def names_as_mapping(value: Any) -> Any:
    """A list of names as a mapping from each to nothing in particular."""
    return {name: {} for name in value} if isinstance(value, list) and all(isinstance(name, str) for name in value) else value


def listed_names(mapping: dict[str, Any]) -> dict[str, Any]:
    """The schema of a list of the names that are the keys of ``mapping``."""
    return {"type": "array", "items": {"type": "string", **mapping.get("propertyNames", {})}}


def single(items: dict[str, Any]) -> dict[str, Any]:
    """The schema of one item of a list."""
    item: dict[str, Any] = items["items"]
    return item

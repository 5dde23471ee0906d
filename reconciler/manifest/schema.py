"""The JSON Schema of a manifest, for editors: generated from the models, kept in ``schemas/manifest.schema.json``.

``python -m reconciler.manifest.schema > schemas/manifest.schema.json`` writes it anew. It says what a file may hold that stands for itself; of
an overlay it asks too much (``version`` and ``name``), and what goes between entries only ``validate`` can tell.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from reconciler.manifest.models import Manifest
from reconciler.manifest.secret_fields import DEFINED, definitions

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """pydantic's generator without what an editor would show for nothing: titles, and defaults that only say "not set"."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  asked for each field; for none
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        generated = super().default_schema(schema)
        if generated.get("default") in (None, "", [], {}) or not isinstance(generated.get("default"), str | bool | int):
            generated.pop("default", None)
        return generated

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        # None is how a model says "not written"; in a manifest null is a mistake
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: core_schema.DictSchema) -> dict[str, Any]:
        generated: dict[str, Any] = {"type": "object"}
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        if keys not in ({}, {"type": "string"}):
            generated["propertyNames"] = {key: value for key, value in keys.items() if key != "type"}
        values = self.generate_inner(schema["values_schema"]) if "values_schema" in schema else {}
        if values:
            generated["additionalProperties"] = values
        return generated


def manifest_schema() -> dict[str, Any]:
    """The schema of a manifest, JSON Schema 2020-12."""
    schema = Manifest.model_json_schema(schema_generator=_Generator, by_alias=True)
    defined = _finished({**schema.pop("$defs"), **definitions()})
    return {"$schema": DIALECT, "title": "reconciler manifest", **_finished(schema), "$defs": dict(sorted(defined.items()))}


def _finished(schema: Any) -> Any:
    """Without the titles that repeat a class's name, and with references to the definitions that pydantic does not know."""
    if isinstance(schema, list):
        return [_finished(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _finished(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str)) and key != DEFINED}
    return {"$ref": f"#/$defs/{schema[DEFINED]}", **kept} if DEFINED in schema else kept


def text() -> str:
    """The schema as it stands in the file."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())

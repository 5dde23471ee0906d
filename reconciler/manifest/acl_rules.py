"""The field ``rules`` of an ACL policy: a mapping that is checked here, text, or a file with text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from reconciler.manifest.mistake import Mistake, Mistakes, PathPart
from reconciler.manifest.suggestion import instead, unknown

SCALAR_RULES: Final = ("acl", "keyring", "mesh", "operator", "peering")
"""Rules that stand once and hold a policy word: ``operator: read``."""

NAMED_RULES: Final = tuple(
    f"{kind}{suffix}" for kind in ("agent", "event", "key", "node", "query", "service", "session") for suffix in ("", "_prefix")
)
"""Rules by name or prefix: ``service: {web: write}``. With the former all that Consul 1.22.3 checks, the rest it takes in silence."""

WORDS: Final = ("deny", "read", "write")
RULES_BYTES: Final = 1_000_000


class RulesText(str):
    """ACL rules as text, HCL or JSON: written in the manifest, or read from the file it names."""

    __slots__ = ()


def _words(kind: str) -> tuple[str, ...]:
    return (*WORDS, "list") if kind.startswith("key") and kind != "keyring" else WORDS


def _check_word(value: Any, path: tuple[PathPart, ...], words: tuple[str, ...]) -> list[Mistake]:
    if value in words and isinstance(value, str):
        return []
    return [Mistake("is not an access level", instead(value, words) if isinstance(value, str) else f"write one of {', '.join(words)}", path)]


def _check_rule(kind: str, value: Any, path: tuple[PathPart, ...]) -> list[Mistake]:
    """One rule under a name: an access level, or a mapping with ``policy`` (and ``intentions`` for a service)."""
    if not isinstance(value, Mapping):
        return _check_word(value, path, _words(kind))
    keys = ("policy", "intentions") if kind.startswith("service") else ("policy",)
    mistakes = [unknown(key, keys, (*path, key)) for key in value if key not in keys]
    if "policy" not in value:
        mistakes.append(Mistake("lacks policy", f"write {{policy: …}} with one of {', '.join(_words(kind))}", path))
    for key in keys:
        if key in value:
            mistakes += _check_word(value[key], (*path, key), _words(kind) if key == "policy" else WORDS)
    return mistakes


def _check_named(kind: str, value: Any, path: tuple[PathPart, ...]) -> list[Mistake]:
    # Consul's JSON form also takes a list of such mappings: [{"a": {…}}, {"b": {…}}]
    if isinstance(value, list):
        return [mistake for index, part in enumerate(value) for mistake in _check_named(kind, part, (*path, index))]
    if not isinstance(value, Mapping):
        return [Mistake("must be a mapping from names to access levels", f"write {kind}: {{NAME: read}}", path)]
    return [mistake for name, rule in value.items() for mistake in _check_rule(kind, rule, (*path, name))]


def check_rules(rules: Mapping[str, Any]) -> list[Mistake]:
    """The mistakes in rules that are written as a mapping. Consul itself accepts an unknown rule in silence (docs/facts.md: Consul 4)."""
    mistakes: list[Mistake] = []
    for kind, value in rules.items():
        if kind in SCALAR_RULES:
            mistakes += _check_word(value, (kind,), WORDS)
        elif kind in NAMED_RULES:
            mistakes += _check_named(kind, value, (kind,))
        else:
            mistakes.append(unknown(kind, (*SCALAR_RULES, *NAMED_RULES), (kind,), "ACL rule"))
    return mistakes


def is_file(value: Mapping[str, Any]) -> bool:
    """Whether a mapping names the file with the rules rather than being rules; no ACL rule is called ``file``."""
    return "file" in value


@dataclass(frozen=True, slots=True)
class Rules:
    """The annotation of the field. The folder that ``{file: …}`` is relative to is ``directory`` in the validation's context."""

    def parse(self, value: Any, directory: Path) -> RulesText | dict[str, Any]:
        """The rules as text or as a checked mapping. Raises Mistake or Mistakes."""
        if isinstance(value, str):
            return RulesText(value)
        if not isinstance(value, Mapping):
            raise Mistake("must be a mapping or text", "write rules such as {service: {web: write}}, or {file: PATH}")
        if is_file(value):
            return _read(value, directory)
        mistakes = check_rules(value)
        if mistakes:
            raise Mistakes(mistakes)
        return dict(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def parse(value: Any, info: core_schema.ValidationInfo) -> RulesText | dict[str, Any]:
            return self.parse(value, (info.context or {}).get("directory", Path()))

        return core_schema.with_info_plain_validator_function(parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, _FILE_SCHEMA, _mapping_schema()]}


def _read(value: Mapping[str, Any], directory: Path) -> RulesText:
    mistakes = [unknown(key, ("file",), (key,)) for key in value if key != "file"]
    if mistakes:
        raise Mistakes(mistakes)
    path = value["file"]
    if not isinstance(path, str) or not path or "\0" in path:
        raise Mistakes([Mistake("must be a path", "write {file: PATH}", ("file",))])
    try:
        with (directory / path).open("rb") as source:
            text = source.read(RULES_BYTES + 1)
        if len(text) > RULES_BYTES:
            raise Mistakes([Mistake(f"names a file over {RULES_BYTES} bytes", "is it the right file?", ("file",))])
        return RulesText(text.decode("utf-8"))
    except OSError as error:
        raise Mistakes([Mistake(f"cannot be read ({error.strerror})", "give the path of a file, relative to the manifest", ("file",))]) from None
    except UnicodeDecodeError:
        raise Mistakes([Mistake("names a file that is not UTF-8", "write ACL rules as HCL or JSON in UTF-8", ("file",))]) from None


_FILE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"file": {"type": "string", "minLength": 1, "description": "File with the rules, HCL or JSON; relative to the manifest."}},
    "required": ["file"],
    "additionalProperties": False,
}


def _mapping_schema() -> dict[str, Any]:
    scalar = {"enum": list(WORDS)}

    def rule(kind: str) -> dict[str, Any]:
        word = {"enum": list(_words(kind))}
        properties = {"policy": {**word, "description": "Access level."}}
        if kind.startswith("service"):
            properties["intentions"] = {**scalar, "description": "Access level for the service's intentions."}
        return {"anyOf": [word, {"type": "object", "properties": properties, "required": ["policy"], "additionalProperties": False}]}

    def named(kind: str) -> dict[str, Any]:
        one = {"type": "object", "additionalProperties": rule(kind)}
        return {"anyOf": [one, {"type": "array", "items": one}], "description": f"Access by {'prefix' if kind.endswith('_prefix') else 'name'}."}

    properties: dict[str, Any] = {kind: {**scalar, "description": "Access level."} for kind in SCALAR_RULES}
    return {"type": "object", "properties": {**properties, **{kind: named(kind) for kind in NAMED_RULES}}, "additionalProperties": False}


RULES: Final = Rules()

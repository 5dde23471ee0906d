"""Fields that hold a secret: a literal, or a reference to where it is kept (docs/design.md §3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from reconciler.manifest.fields import ENV_NAME, KV_KEY, LOCAL_PATH, Text
from reconciler.manifest.mistake import Mistake, Mistakes, PathPart
from reconciler.manifest.suggestion import closest, unknown
from reconciler.model.address import Address
from reconciler.model.secret import Generate, Reference, Secret, SecretSource

REFERENCE_FORMS: Final = ("env", "file", "exec", "kv", "generate", "bootstrap_token")
"""The keys that make a mapping a reference; one of them stands alone in it."""

KV_VALUE_BYTES: Final = 380_000
"""A transaction's body is at most 524,288 bytes, the value in it is in base64, and the ownership record goes with it (docs/facts.md: Consul 3)."""

GENERATE_BYTES: Final = (8, 1024)
ENCODINGS: Final = ("hex", "base64", "base64url")
DEFINED: Final = "x-defined"
"""Stands in a generated schema for a ``$ref`` to one of :func:`definitions`, which pydantic knows nothing of."""

NOT_TEXT: Final = "neither_text_nor_reference"
"""The code of a mistake whose message must not show the value."""


def is_reference(value: object) -> bool:
    """Whether a mapping is meant as a secret reference: it has one key, and that is a form's."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in REFERENCE_FORMS


def kv_value(key: str) -> Reference:
    """The value of the KV entry ``key`` after the plan."""
    return Reference(Address.of("kv", key), "value")


def literal_secret(text: str) -> Secret:
    """A secret that is written in the manifest. Raises Mistake for what no system takes."""
    if not text or "\0" in text:
        raise Mistake("must not be empty" if not text else "must not hold the character NUL", "write a reference such as {env: NAME}")
    return Secret(text)


def literal_kv_value(text: str) -> str:
    """The text of a KV entry. Raises Mistake when Consul could not store it."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > KV_VALUE_BYTES:
        raise Mistake(f"is {size} bytes long", f"write at most {KV_VALUE_BYTES} bytes, which is what one transaction can carry")
    return text


@dataclass(frozen=True, slots=True)
class SecretForms:
    """Which forms a secret field takes. ``literal`` makes the model's value of a string; ``generate`` is for KV entries alone.

    ``definition`` names it in the JSON Schema, which has each of them once.
    """

    definition: str
    literal: Callable[[str], Any] = literal_secret
    generate: bool = False
    bootstrap_token: bool = True
    kv: bool = True

    @property
    def forms(self) -> tuple[str, ...]:
        """The references this field takes."""
        allowed = {"generate": self.generate, "bootstrap_token": self.bootstrap_token, "kv": self.kv}
        return tuple(form for form in REFERENCE_FORMS if allowed.get(form, True))

    def parse(self, value: Any) -> Any:
        """The model's value. Raises Mistake, Mistakes or a pydantic error."""
        if isinstance(value, str):
            return self.literal(value)
        if isinstance(value, Secret | SecretSource | Reference | Generate):
            return value
        if not isinstance(value, Mapping):
            raise PydanticKnownError("string_type") if self.generate else PydanticCustomError(NOT_TEXT, "not a secret")
        if len(value) != 1:
            raise Mistake("must be a string or one reference", f"write one of {self._spelled()}")
        (form, argument), *_ = value.items()
        if form not in self.forms:
            raise Mistakes([self._unknown_form(form)])
        return _PARSERS[form](argument)

    def _spelled(self) -> str:
        return ", ".join(f"{{{form}: …}}" for form in self.forms)

    def _unknown_form(self, form: str) -> Mistake:
        if form == "generate":
            return Mistake("must not be generated here", "put {generate: …} into a kv entry and write {kv: KEY} here", (form,))
        if form in REFERENCE_FORMS:
            return Mistake(f"cannot be taken from {{{form}: …}}", f"write one of {self._spelled()}", (form,))
        if closest(form, self.forms):
            return unknown(form, self.forms, (form,), "form of reference")
        # not named: it may be the secret itself, as in `password: {hunter2}`
        return Mistake("must be a string or one reference", f"write one of {self._spelled()}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {DEFINED: self.definition}

    def json_schema(self) -> dict[str, Any]:
        """Text, or a mapping with exactly one of the forms."""
        references = [
            {"type": "object", "properties": {form: _SCHEMAS[form]}, "required": [form], "additionalProperties": False} for form in self.forms
        ]
        return {"anyOf": [{"type": "string"}, *references]}


def _text(rule: Text, value: Any, form: str, what_to_do: str) -> str:
    if not isinstance(value, str):
        raise Mistakes([Mistake("must be a string", what_to_do, (form,))])
    text: str = within(rule.apply, value, form)
    return text


def within(parse: Callable[[Any], Any], value: Any, *path: PathPart) -> Any:
    """What ``parse`` makes of ``value``; its mistakes are said to be at ``path``."""
    try:
        return parse(value)
    except Mistake as mistake:
        raise Mistakes([Mistake(mistake.what, mistake.what_to_do, (*path, *mistake.path), at_key=mistake.at_key)]) from None
    except Mistakes as mistakes:
        raise Mistakes([Mistake(m.what, m.what_to_do, (*path, *m.path), at_key=m.at_key) for m in mistakes.each]) from None


def _env(value: Any) -> SecretSource:
    if not isinstance(value, str) or ENV_NAME.compiled.fullmatch(value) is None:
        # not shown: it may be the secret itself
        raise Mistakes([Mistake(f"must be {ENV_NAME.must_be}", ENV_NAME.what_to_do, ("env",))])
    return SecretSource("env", value)


def _file(value: Any) -> SecretSource:
    return SecretSource("file", _text(LOCAL_PATH, value, "file", "write {file: PATH}"))


def _exec(value: Any) -> SecretSource:
    if not isinstance(value, list) or not value or not all(isinstance(a, str) and "\0" not in a for a in value) or not value[0]:
        raise Mistakes([Mistake("must be a list of strings, the program first", 'write {exec: [program, "argument", …]}', ("exec",))])
    return SecretSource("exec", tuple(value))


def _kv(value: Any) -> Reference:
    return kv_value(_text(KV_KEY, value, "kv", "write {kv: KEY}"))


def _generate(value: Any) -> Generate:
    if not isinstance(value, Mapping):
        raise Mistakes([Mistake("must be a mapping", "write {generate: {bytes: 16, encoding: hex}}", ("generate",))])
    mistakes = [unknown(key, ("bytes", "encoding"), ("generate", key)) for key in value if key not in ("bytes", "encoding")]
    size, encoding = value.get("bytes", 16), value.get("encoding", "hex")
    low, high = GENERATE_BYTES
    if not isinstance(size, int) or isinstance(size, bool) or not low <= size <= high:
        mistakes.append(Mistake("must be a whole number of bytes", f"write a number from {low} to {high}, without quotes", ("generate", "bytes")))
    if encoding not in ENCODINGS:
        mistakes.append(Mistake("is not an encoding", f"write one of {', '.join(ENCODINGS)}", ("generate", "encoding")))
    if mistakes:
        raise Mistakes(mistakes)
    return Generate(size, encoding)


def _bootstrap_token(value: Any) -> SecretSource:
    remedy = "write {bootstrap_token: {file: PATH, password: {env: NAME}}}"
    if not isinstance(value, Mapping):
        raise Mistakes([Mistake("must be a mapping", remedy, ("bootstrap_token",))])
    keys = ("file", "password")
    mistakes = [unknown(key, keys, ("bootstrap_token", key)) for key in value if key not in keys]
    mistakes += [Mistake(f"lacks {key}", remedy, ("bootstrap_token",)) for key in keys if key not in value]
    argument: dict[str, Any] = {}
    for key, parse in (("file", lambda v: _text(LOCAL_PATH, v, "", remedy)), ("password", _ARCHIVE_PASSWORD.parse)):
        if key not in value:
            continue
        try:
            argument[key] = within(parse, value[key], "bootstrap_token", key)
        except Mistakes as wrong:
            mistakes += [Mistake(m.what, m.what_to_do, tuple(part for part in m.path if part != ""), at_key=m.at_key) for m in wrong.each]
        except (PydanticCustomError, PydanticKnownError):
            mistakes.append(Mistake("must be a string or a reference", "put it in quotes, or write {env: NAME}", ("bootstrap_token", key)))
    if mistakes:
        raise Mistakes(mistakes)
    return SecretSource("bootstrap_token", argument)


_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "env": _env, "file": _file, "exec": _exec, "kv": _kv, "generate": _generate, "bootstrap_token": _bootstrap_token,
}  # fmt: skip


def _described(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


_ARCHIVE_PASSWORD: Final = SecretForms("ArchivePassword", kv=False, bootstrap_token=False)

_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "env": _described(ENV_NAME.json_schema(), "The environment variable that holds it."),
    "file": _described(LOCAL_PATH.json_schema(), "The file that holds it; one newline at its end is dropped. Relative to the manifest."),
    "exec": {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "A program and its arguments; it prints the secret."},
    "kv": _described(KV_KEY.json_schema(), "The KV key whose value, after this plan, it is."),
    "generate": {
        "type": "object",
        "description": "Made once, of random bytes, and kept while the key exists.",
        "properties": {
            "bytes": {"type": "integer", "minimum": GENERATE_BYTES[0], "maximum": GENERATE_BYTES[1], "description": "How many random bytes."},
            "encoding": {"enum": list(ENCODINGS), "description": "How they are written as text."},
        },
        "additionalProperties": False,
    },
}
_SCHEMAS["bootstrap_token"] = {
    "type": "object",
    "description": "The bootstrap token in Carbonio's cluster credentials archive.",
    "properties": {
        "file": _described(LOCAL_PATH.json_schema(), "The archive, cluster-credentials.tar.gpg."),
        "password": _described({DEFINED: "ArchivePassword"}, "Its password."),
    },
    "required": ["file", "password"],
    "additionalProperties": False,
}

SECRET: Final = SecretForms("Secret")
_CONSUL_TOKEN: Final = SecretForms("ConsulToken", kv=False)
_KV_VALUE: Final = SecretForms("KvValue", literal=literal_kv_value, generate=True)

SecretField = Annotated[Secret | SecretSource | Reference, SECRET]
"""A secret that may also be the value of a KV entry."""

ConsulTokenField = Annotated[Secret | SecretSource, _CONSUL_TOKEN]
"""The token for Consul itself, which therefore cannot lie in Consul."""

KvValue = Annotated[str | SecretSource | Reference | Generate, _KV_VALUE]
"""The value of a KV entry; a literal is plain text, because most are not secret."""


def definitions() -> dict[str, dict[str, Any]]:
    """The schemas that a mapping with the key :data:`DEFINED` stands for, by name."""
    return {forms.definition: forms.json_schema() for forms in (SECRET, _CONSUL_TOKEN, _KV_VALUE, _ARCHIVE_PASSWORD)}

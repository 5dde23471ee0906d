"""Consul KV entries and files on hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from reconciler.manifest.fields import AbsolutePath, FileMode, FileOwner, KvFlags, Label, LocalPath, TemplateName
from reconciler.manifest.mistake import Mistake
from reconciler.manifest.secret_fields import DEFINED, KvValue
from reconciler.manifest.section import OPTIONS, Entry
from reconciler.manifest.sensitive import is_sensitive_key
from reconciler.model.secret import Generate

LONG_FORM_KEYS: Final = ("value", "flags", "sensitive", *OPTIONS)


def is_long_kv(value: Mapping[str, Any]) -> bool:
    """Whether a KV entry is written with its options, rather than as a reference."""
    return any(key in value for key in LONG_FORM_KEYS)


class KvEntry(Entry):
    """A KV entry. Short form: its value. With options: `{value: …, flags: …, sensitive: …}`."""

    value: KvValue = Field(description="Its value: text, or a reference.")
    flags: KvFlags | None = Field(default=None, description="The number that Consul keeps beside the value.")
    sensitive: bool | None = Field(
        default=None,
        description="Whether the value is masked in all output. Default: when it is a reference, or the key's last segment contains password, "
        "secret, token or key.",
    )

    def is_masked(self, key: str) -> bool:
        """Whether the value under ``key`` is masked in all output."""
        if self.sensitive is not None:
            return self.sensitive
        return not isinstance(self.value, str) or is_sensitive_key(key)

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) and is_long_kv(value) else {"value": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{DEFINED: "KvValue"}, handler(schema)]}


_CONTENTS: Final = ("content", "source", "template", "token")


class HostFile(Entry):
    """A plain file on a host."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in _CONTENTS]})

    host: Label = Field(default="local", description="Machine (from `hosts`); `local` by default.")
    path: AbsolutePath = Field(description="Absolute path of the file.")
    content: KvValue | None = Field(default=None, description="Its content: text, or a reference, which is a secret.")
    source: LocalPath | None = Field(default=None, description="File with its content; relative to the manifest.")
    template: LocalPath | None = Field(default=None, description="Jinja template of its content; relative to the manifest.")
    values: dict[TemplateName, str] | None = Field(default=None, description="What the template's variables stand for; no secrets.")
    token: Label | None = Field(default=None, description="Label of the token (from `mesh_credentials.tokens`) whose secret it holds.")
    sensitive: bool | None = Field(
        default=None, description="Whether the content is masked in all output. Default: when it is a reference, or not everybody may read the file."
    )
    owner: FileOwner | None = Field(default=None, description="Account that owns the file; a name, or a number in quotes.")
    group: FileOwner | None = Field(default=None, description="Group of the file; a name, or a number in quotes.")
    mode: FileMode = Field(default="0644", description='Octal mode in quotes, "0644" by default.')

    @model_validator(mode="after")
    def _one_content(self) -> HostFile:
        given = [name for name in _CONTENTS if getattr(self, name) is not None]
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "has no content"
            raise Mistake(what, f"write one of {', '.join(_CONTENTS)}")
        if isinstance(self.content, Generate):
            raise Mistake("is generated", "generate it in kv, and refer to that with {kv: KEY}", ("content",))
        if self.values is not None and self.template is None:
            raise Mistake("has values and no template", "write template: and the path of a template", ("values",))
        return self

    @property
    def is_masked(self) -> bool:
        """Whether the content is masked in all output."""
        if self.sensitive is not None:
            return self.sensitive
        return self.token is not None or not isinstance(self.content, str | None) or int(self.mode, 8) & 0o004 == 0

"""Consul KV entries and files on hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from reconciler.manifest.fields import AbsolutePath, FileMode, FileOwner, KvFlags, Label, LocalPath
from reconciler.manifest.secret_fields import DEFINED, KvValue
from reconciler.manifest.section import OPTIONS, Entry

LONG_FORM_KEYS: Final = ("value", "flags", "sensitive", *OPTIONS)
SENSITIVE_WORDS: Final = ("password", "secret", "token", "key")


def is_sensitive_key(key: str) -> bool:
    """Whether the last segment of a KV key says that its value is secret."""
    last = key.rsplit("/", 1)[-1].lower()
    return any(word in last for word in SENSITIVE_WORDS)


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


class HostFile(Entry):
    """A plain file on a host."""

    host: Label = Field(default="local", description="Machine (from `hosts`); `local` by default.")
    path: AbsolutePath = Field(description="Absolute path of the file.")
    source: LocalPath = Field(description="File with its content; relative to the manifest.")
    owner: FileOwner | None = Field(default=None, description="Account that owns the file; a name, or a number in quotes.")
    group: FileOwner | None = Field(default=None, description="Group of the file; a name, or a number in quotes.")
    mode: FileMode | None = Field(default=None, description='Octal mode in quotes, such as "0644".')

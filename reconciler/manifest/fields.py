"""The types of single values: what each may be, in our words, and as JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from reconciler.manifest.mistake import Mistake, shown

NO_CONTROL: Final = r"[^\x00-\x1f\x7f]"
NO_SPACE: Final = r"[^\x00-\x20\x7f]"
"""One character that is no control character, or also no space, as regular expressions."""


@dataclass(frozen=True, slots=True)
class Text:
    """A rule for a string: the whole of it matches ``pattern``, and its UTF-8 form has at most ``max_bytes``.

    ``must_be`` completes "must be", ``what_to_do`` is the remedy. ``never`` are patterns that must be found nowhere in it, each with a remedy.
    ``normal`` makes the value that the model holds. All patterns are of the kind that Python, JSON Schema and RE2 read alike.
    """

    pattern: str
    must_be: str
    what_to_do: str
    max_bytes: int | None = None
    never: tuple[tuple[str, str], ...] = ()
    normal: Callable[[str], str] = str
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", re.compile(self.pattern))

    def apply(self, value: str) -> str:
        """``value`` in its normal form. Raises Mistake."""
        if self.compiled.fullmatch(value) is None:
            raise Mistake(f"must be {self.must_be}, not {shown(value)}", self.what_to_do)
        if self.max_bytes is not None and len(value) * 4 > self.max_bytes:
            size = len(value.encode("utf-8", "surrogatepass"))
            if size > self.max_bytes:
                raise Mistake(f"{shown(value, 20)} is {size} bytes long", f"use at most {self.max_bytes} bytes")
        for pattern, remedy in self.never:
            if re.search(pattern, value):
                raise Mistake(f"must not be {shown(value)}", remedy)
        return self.normal(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.apply, core_schema.str_schema(strict=True))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.json_schema()

    def json_schema(self) -> dict[str, Any]:
        """The same rule for an editor; lengths in characters, which is never stricter than in bytes."""
        rule: dict[str, Any] = {"type": "string", "pattern": f"^(?:{self.pattern})$"}
        if self.max_bytes is not None:
            rule["maxLength"] = self.max_bytes
        if self.never:
            rule["not"] = {"pattern": "|".join(pattern for pattern, _ in self.never)}
        return rule


@dataclass(frozen=True, slots=True)
class Number:
    """A rule for a whole number: both bounds included; ``noun`` is what it counts or is."""

    low: int
    high: int
    noun: str = "whole number"

    def apply(self, value: int) -> int:
        """``value``. Raises Mistake."""
        if not self.low <= value <= self.high:
            raise Mistake(f"is {value}", f"write a {self.noun} from {self.low} to {self.high}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.apply, core_schema.int_schema(strict=True))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


class Duration(str):
    """A duration as written, in the form that Go and Consul read: ``1m30s``."""

    __slots__ = ()

    @property
    def nanoseconds(self) -> int:
        """The same as a whole number of nanoseconds."""
        return sum(int(float(number) * _NANOSECONDS[unit] + 0.5) for number, unit in _DURATION_PART.findall(self))

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.nanoseconds / 1_000_000_000


_NANOSECONDS: Final = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")


def _any_case(word: str) -> str:
    return "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in word)


DURATION: Final = Text(
    r"([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+",
    "a duration",
    'write numbers with units (ns, us, ms, s, m, h), such as "10s" or "1m30s"',
    max_bytes=64,
    normal=Duration,
)
MANIFEST_NAME: Final = Text(r"[a-z0-9][a-z0-9._-]{0,62}", "a manifest's name", "use 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit")
LABEL: Final = Text(
    rf"{NO_SPACE}({NO_CONTROL}*{NO_SPACE})?", "a name", "write 1 to 255 characters, no control characters, no space at either end", 255
)
ACL_NAME: Final = Text(
    r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]*)?",
    "an ACL policy's name",
    "use letters, digits, - and _, and at most one /",
    max_bytes=128,
    never=((rf"^builtin/|^{_any_case('global-management')}$", "choose another name: this one is built into Consul"),),
)
ACL_ROLE_NAME: Final = Text(r"[A-Za-z0-9_-]+", "an ACL role's name", "use letters, digits, - and _", 256)
IDENTITY_NAME: Final = Text(
    r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?", "a name as ACL identities take it", "use a-z 0-9 - and _, beginning and ending with a letter or digit", 256
)
QUERY_NAME: Final = Text(rf"({LABEL.pattern})?", "a prepared query's name", LABEL.what_to_do, 255)
KV_KEY: Final = Text(
    rf"[^/\x00-\x1f\x7f]{NO_CONTROL}*",
    "a KV key",
    "write it without a slash at the beginning and without control characters",
    max_bytes=512,
    never=(
        (r"^reconciler/", "choose another key: the ownership records are kept under reconciler/"),
        (r"(^|/)\.\.?(/|$)", "leave out the . and .. segments: HTTP clients resolve them"),
    ),
)
PG_NAME: Final = Text(rf"{NO_CONTROL}+", "a Postgres name", "write 1 to 63 bytes without control characters", 63)
# docs/facts.md: Postgres 2: pg_ is reserved in lower case only, so are "public" and "none"
PG_ROLE_NAME: Final = Text(
    PG_NAME.pattern, "a Postgres role's name", PG_NAME.what_to_do, 63, never=((r"^pg_|^public$|^none$", "choose another name: Postgres reserves it"),)
)
PG_SETTING: Final = Text(
    r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?", "a Postgres setting's name", 'write it as in "work_mem" or "app.mode"', 63
)
PG_TEXT: Final = Text(r"[^\x00]*", "text without NUL", "Postgres cannot hold the character NUL")
OS_NAME: Final = Text(r"[A-Za-z_][A-Za-z0-9_.-]*", "a user's or group's name", "use letters, digits, _ . and -, beginning with a letter or _", 32)
# chown reads digits as a number where no account has that name
FILE_OWNER: Final = Text(
    rf"{OS_NAME.pattern}|0|[1-9][0-9]{{0,8}}", "a user's or group's name, or its number", 'use a name, or digits in quotes as in "1000"', 32
)
UNIT_NAME: Final = Text(r"[A-Za-z0-9:_.@-]+\.service", "a systemd service unit's name", 'write it as in "carbonio-gateway.service"', 255)
ENVIRONMENT_NAME: Final = Text(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable", "use letters, digits and _", 255)
TEMPLATE_NAME: Final = Text(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a template's variable", "use letters, digits and _", 255)
LINE: Final = Text(rf"{NO_CONTROL}*", "one line of text", "leave out line breaks and other control characters", 4096)
FILE_MODE: Final = Text(r"[0-7]{3,4}", "an octal file mode in quotes", 'write it as in "0600"', normal=lambda mode: mode.zfill(4))
ABSOLUTE_PATH: Final = Text(
    rf"/{NO_CONTROL}+",
    "an absolute path",
    "begin it with /",
    max_bytes=4095,
    never=(
        (r"//|/\.\.?(/|$)|/$", "write it without empty, . or .. segments and without a slash at the end"),
        (r"^/(proc|sys|dev)(/|$)", "choose another path: nothing in /proc, /sys and /dev is a file of its own"),
    ),
)
LOCAL_PATH: Final = Text(rf"{NO_CONTROL}+", "a path", "write the path of a file; a relative one is relative to the manifest", 4095)
HOST_ADDRESS: Final = Text(rf"{NO_SPACE}+", "a host name or IP address", "write it without spaces", 255)
SSH_DESTINATION: Final = Text(
    r"([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_\[][A-Za-z0-9_.:\]%-]*", "an SSH destination", 'write it as in "root@gateway.example.com"', 255
)
CONSUL_ADDRESS: Final = Text(
    r"(https?://)?([^\x00-\x20\x7f/:?#@\[\]]+|\[[0-9A-Fa-f:.%]+\])(:[0-9]{1,5})?/?|unix:///[^\x00-\x1f\x7f]+",
    "the address of a Consul agent",
    'write it as in "http://127.0.0.1:8500", "https://consul.example.com:8501" or "unix:///run/consul.sock"',
    max_bytes=1024,
)
UUID: Final = Text(
    r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
    "a UUID",
    'write it as in "8fe5e3f0-4f4d-4f7c-9e3c-0d3d0f5c7a11", or leave it out',
    normal=str.lower,
)
ENV_NAME: Final = Text(r"[A-Za-z_][A-Za-z0-9_]*", "an environment variable's name", "use letters, digits and _")
TIMESTAMP: Final = Text(
    r"infinity|[0-9]{4,6}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?( ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?))?)?",
    "a point in time",
    'write it in quotes as in "2030-12-31 23:59:59+00", or "infinity"',
)
WORD: Final = Text(rf"{NO_SPACE}+", "one word", "write it without spaces", 255)

Port = Annotated[int, Number(1, 65535, "port")]
KvFlags = Annotated[int, Number(0, 2**64 - 1)]
ConnectionLimit = Annotated[int, Number(-1, 2**31 - 1)]
DurationText = Annotated[Duration, DURATION]
Label = Annotated[str, LABEL]
AclName = Annotated[str, ACL_NAME]
AclRoleName = Annotated[str, ACL_ROLE_NAME]
IdentityName = Annotated[str, IDENTITY_NAME]
QueryName = Annotated[str, QUERY_NAME]
KvKey = Annotated[str, KV_KEY]
PgName = Annotated[str, PG_NAME]
PgRoleName = Annotated[str, PG_ROLE_NAME]
PgSettingName = Annotated[str, PG_SETTING]
PgText = Annotated[str, PG_TEXT]
OsName = Annotated[str, OS_NAME]
FileOwner = Annotated[str, FILE_OWNER]
UnitName = Annotated[str, UNIT_NAME]
TemplateName = Annotated[str, TEMPLATE_NAME]
EnvironmentName = Annotated[str, ENVIRONMENT_NAME]
Line = Annotated[str, LINE]
FileMode = Annotated[str, FILE_MODE]
AbsolutePath = Annotated[str, ABSOLUTE_PATH]
LocalPath = Annotated[str, LOCAL_PATH]
HostAddress = Annotated[str, HOST_ADDRESS]
SshDestination = Annotated[str, SSH_DESTINATION]
ConsulAddress = Annotated[str, CONSUL_ADDRESS]
Uuid = Annotated[str, UUID]
Timestamp = Annotated[str, TIMESTAMP]
Word = Annotated[str, WORD]
FreeMap = dict[str, str]

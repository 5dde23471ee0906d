"""The mesh itself: gateways, external services, intentions, config entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, JsonValue, model_validator
from pydantic_core import CoreSchema

from reconciler.manifest.defaults import Labelled
from reconciler.manifest.entry_secrets import with_secrets
from reconciler.manifest.fields import (
    AbsolutePath,
    DurationText,
    EnvironmentName,
    HostAddress,
    Label,
    Line,
    LocalPath,
    OsName,
    Port,
    UnitName,
    Word,
)
from reconciler.manifest.mistake import Mistake, shown
from reconciler.manifest.section import Entry, Section
from reconciler.manifest.suggestion import folded

Verdict = Literal["allow", "deny"]
LogLevel = Literal["trace", "debug", "info", "warning", "error", "critical", "off"]


class GatewayService(Section):
    """A service that a terminating gateway stands in for, and how the gateway speaks TLS to it."""

    model_config = ConfigDict(
        json_schema_extra={"dependentRequired": {"cert_file": ["key_file", "ca_file"], "key_file": ["cert_file", "ca_file"]}},
    )

    ca_file: LocalPath | None = Field(default=None, description="CA certificates (PEM), on the gateway's machine, for the service's certificate.")
    cert_file: LocalPath | None = Field(default=None, description="Client certificate (PEM) on the gateway's machine.")
    key_file: LocalPath | None = Field(default=None, description="Key of the client certificate on the gateway's machine.")
    sni: HostAddress | None = Field(default=None, description="Server name asked for in TLS, and expected in the certificate.")

    @model_validator(mode="after")
    def _tls_is_complete(self) -> GatewayService:
        # Consul: "must have a CertFile, CAFile, and KeyFile specified for TLS origination"; a CA alone is one-way TLS
        if (self.cert_file or self.key_file) and not (self.cert_file and self.key_file and self.ca_file):
            raise Mistake("has an incomplete client certificate", "write cert_file, key_file and ca_file, or ca_file alone")
        return self


class GatewayProcess(Section):
    """The gateway's process on a machine: account, folder, token file, unit."""

    host: Label = Field(default="local", description="Machine (from `hosts`) that runs it; `local` by default.")
    token: Label = Field(description="Label of its token in `mesh_credentials.tokens`.")
    user: OsName | None = Field(default=None, description="Account it runs as; the gateway's name by default.")
    group: OsName | None = Field(default=None, description="Group it runs as; the gateway's name by default.")
    directory: AbsolutePath | None = Field(
        default=None, description="Folder of its token file; `/etc/carbonio/NAME/service-discover` by default, NAME without `carbonio-`."
    )
    unit: UnitName | None = Field(default=None, description="Name of its systemd unit; the gateway's name by default.")
    unit_path: AbsolutePath | None = Field(default=None, description="Path of the unit's file; in `/etc/systemd/system` by default.")
    address: HostAddress | None = Field(
        default=None, description='Address and port it listens on, such as "10.0.0.5:8444"; port 8443 of every address by default.'
    )
    consul_binary: AbsolutePath | None = Field(default=None, description="The consul program; `/usr/bin/consul` by default.")
    envoy_binary: AbsolutePath | None = Field(default=None, description="The envoy program; the one in its PATH by default.")
    envoy_version_check: bool | None = Field(default=None, description="Whether Envoy must be of a version that Consul supports; true by default.")
    log_level: LogLevel | None = Field(default=None, description="How much Envoy logs.")
    arguments: list[Word] | None = Field(default=None, description="More arguments of `consul connect envoy`.")
    environment: dict[EnvironmentName, Line] | None = Field(default=None, description="Environment variables of the process; no secrets.")
    hardening: bool | None = Field(default=None, description="Whether systemd shields the rest of the machine from it; true by default.")
    absent_packages: list[Word] | None = Field(default=None, description="Packages that must not be installed there, such as `carbonio-files-db`.")
    present_packages: list[Word] | None = Field(default=None, description="Packages that must be installed there.")

    @model_validator(mode="after")
    def _unit_file_of_the_unit(self) -> GatewayProcess:
        if self.unit_path is not None and self.unit is not None and self.unit_path.rpartition("/")[2] != self.unit:
            raise Mistake(f"has the unit {shown(self.unit)} and another name in unit_path", f"let unit_path end in /{self.unit}", ("unit_path",))
        return self


class TerminatingGateway(Entry):
    """A terminating gateway: the way out of the mesh to external services."""

    services: dict[Label, GatewayService] = Field(description="The services it stands in for, by name. They belong wholly to this manifest.")
    meta: dict[str, str] | None = Field(default=None, description="Metadata of the config entry.")
    process: GatewayProcess | None = Field(default=None, description="The gateway's process, when this manifest is to run it.")


class HealthCheck(Section):
    """A health check of an external service. Consul stores it; consul-esm, where there is one, executes it."""

    id: Label = Field(default="", description="Its ID, unique on the node; the label by default.")
    name: Label = Field(default="", description="Its name; the label by default.")
    status: Literal["passing", "warning", "critical"] | None = Field(default=None, description="Its state.")
    notes: str | None = Field(default=None, description="A note for people.")
    output: str | None = Field(default=None, description="What the last execution printed.")
    http: Word | None = Field(default=None, description="URL to request.")
    method: Word | None = Field(default=None, description="HTTP method, GET by default.")
    header: dict[str, list[str]] | None = Field(default=None, description="HTTP headers to send.")
    body: str | None = Field(default=None, description="HTTP body to send.")
    disable_redirects: bool | None = Field(default=None, description="Whether HTTP redirects are not followed.")
    tcp: Word | None = Field(default=None, description='Address to connect to, such as "db.example.com:5432".')
    tcp_use_tls: bool | None = Field(default=None, description="Whether that connection speaks TLS.")
    udp: Word | None = Field(default=None, description="Address to send a datagram to.")
    grpc: Word | None = Field(default=None, description="gRPC health endpoint.")
    grpc_use_tls: bool | None = Field(default=None, description="Whether gRPC speaks TLS.")
    tls_server_name: HostAddress | None = Field(default=None, description="Name expected in the certificate.")
    tls_skip_verify: bool | None = Field(default=None, description="Whether the certificate is not checked.")
    interval: DurationText | None = Field(default=None, description='How often it is executed, such as "10s".')
    timeout: DurationText | None = Field(default=None, description="How long one execution may take.")
    deregister_critical_service_after: DurationText | None = Field(default=None, description="How long it may be critical before the service goes.")


class ExternalService(Entry):
    """A service outside the mesh, registered in the catalog on a node of its own."""

    service: Label = Field(default="", description="Its name in the catalog; the label by default.")
    node: Label = Field(description="Its node in the catalog. Not the node of a Consul agent: that one removes what it does not know.")
    address: HostAddress = Field(description="The node's address: host name or IP.")
    port: Port = Field(description="TCP port of the service.")
    id: Label = Field(default="", description="Its ID on the node; the service's name by default.")
    service_address: HostAddress | None = Field(default=None, description="The service's own address, when it is not the node's.")
    node_meta: dict[str, str] | None = Field(default=None, description="Metadata of the node.")
    meta: dict[str, str] | None = Field(default=None, description="Metadata of the service.")
    tags: list[str] | None = Field(default=None, description="Tags of the service.")
    checks: Annotated[dict[Label, HealthCheck], Labelled(("id", "name"))] | None = Field(default=None, description="Its health checks, by label.")

    @model_validator(mode="before")
    @classmethod
    def _id_from_service(cls, value: Any) -> Any:
        return {"id": value["service"], **value} if isinstance(value, Mapping) and "service" in value else value


class HeaderMatch(Section):
    """A condition on one HTTP header."""

    name: Word = Field(description="Name of the header.")
    present: bool | None = Field(default=None, description="Whether it only has to be there.")
    exact: str | None = Field(default=None, description="The whole value.")
    prefix: str | None = Field(default=None, description="How the value begins.")
    suffix: str | None = Field(default=None, description="How the value ends.")
    contains: str | None = Field(default=None, description="What the value contains.")
    regex: str | None = Field(default=None, description="Regular expression (RE2) for the whole value.")
    invert: bool | None = Field(default=None, description="Whether the condition is turned round.")
    ignore_case: bool | None = Field(default=None, description="Whether case does not matter.")


_ANOTHER_PATH: Final[JsonValue] = {"anyOf": [{"required": ["path_prefix"]}, {"required": ["path_regex"]}]}


class HttpMatch(Section):
    """A condition on an HTTP request."""

    model_config = ConfigDict(
        json_schema_extra={"dependentSchemas": {"path_exact": {"not": _ANOTHER_PATH}, "path_prefix": {"not": {"required": ["path_regex"]}}}},
    )

    path_exact: str | None = Field(default=None, description="The whole path.")
    path_prefix: str | None = Field(default=None, description="How the path begins.")
    path_regex: str | None = Field(default=None, description="Regular expression (RE2) for the whole path.")
    methods: list[Word] | None = Field(default=None, description="HTTP methods, any by default.")
    header: list[HeaderMatch] | None = Field(default=None, description="Conditions on headers, all of which must hold.")

    @model_validator(mode="after")
    def _one_path(self) -> HttpMatch:
        if sum(path is not None for path in (self.path_exact, self.path_prefix, self.path_regex)) > 1:
            raise Mistake("has several conditions on the path", "write one of path_exact, path_prefix, path_regex")
        return self


class IntentionPermission(Section):
    """One rule for HTTP requests; the first one that matches decides."""

    action: Verdict = Field(description="What happens to requests that match.")
    http: HttpMatch | None = Field(default=None, description="Which requests match.")
    jwt: dict[str, Any] | None = Field(default=None, description="Which JSON web tokens match, with Consul's own field names.")


class IntentionSource(Section):
    """Whether one source may reach the destination: altogether (`action`), or request by request (`permissions`)."""

    name: Label = Field(default="", description="Name of the source service, `*` for any; the label by default.")
    peer: Label | None = Field(default=None, description="Cluster peer that the source belongs to.")
    action: Verdict | None = Field(default=None, description="allow or deny.")
    permissions: list[IntentionPermission] | None = Field(default=None, description="Rules for HTTP requests, in order.")
    description: str | None = Field(default=None, description="A note for people.")

    @model_validator(mode="after")
    def _one_of_two(self) -> IntentionSource:
        if (self.action is None) == (self.permissions is None):
            raise Mistake("must have either an action or permissions", "write allow, deny or {permissions: […]}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        one_of_two = [{"required": ["action"]}, {"required": ["permissions"]}]
        return {"anyOf": [{"enum": ["allow", "deny"]}, {**handler(schema), "oneOf": one_of_two}]}


def _source(value: Any) -> Any:
    return {"action": value} if isinstance(value, str) else value


class Intention(Entry):
    """Who may reach one destination. Short form: a mapping of sources. With options: `{sources: {…}, protect: true}`."""

    sources: Annotated[dict[Label, IntentionSource], Labelled(("name",), _source)] = Field(
        description="Who may reach the destination, by source. They belong wholly to this manifest."
    )
    meta: dict[str, str] | None = Field(default=None, description="Metadata of the config entry.")

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return value if not isinstance(value, Mapping) or is_long_intention(value) else {"sources": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        long = handler(schema)
        short = handler.resolve_ref_schema(long)["properties"]["sources"]
        return {"if": {"properties": {"sources": {"type": "object"}}, "required": ["sources"]}, "then": long, "else": short}


def is_long_intention(value: Mapping[str, Any]) -> bool:
    """Whether an intention is written with its options: it has a key ``sources`` that is a mapping."""
    return isinstance(value.get("sources"), Mapping)


ConfigEntryKind = Literal[
    "service-defaults",
    "proxy-defaults",
    "mesh",
    "service-resolver",
    "service-splitter",
    "service-router",
    "service-intentions",
    "terminating-gateway",
    "ingress-gateway",
    "api-gateway",
    "http-route",
    "tcp-route",
    "inline-certificate",
    "file-system-certificate",
    "jwt-provider",
    "exported-services",
]
"""The kinds that a person writes and that Consul's Community Edition has."""

_ENTERPRISE: Final = ("is a kind of Consul Enterprise", "remove the entry")
NO_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "bound-api-gateway": ("is made by Consul itself for an api-gateway", "write the api-gateway, and remove this"),
    "sameness-group": _ENTERPRISE,
    "control-plane-request-limit": _ENTERPRISE,
}
"""Kinds that nobody can write here: what each is, and what to do about it."""

ONLY_NAMES: Final[Mapping[str, str]] = {"mesh": "mesh", "proxy-defaults": "global", "exported-services": "default"}
"""The kinds of which there is one, and its name (docs/facts.md: Consul 7)."""


class ConfigEntry(Entry):
    """Any other config entry, with Consul's own field names. `on_removal`, `protect` and `adopt` are ours and are not sent."""

    model_config = ConfigDict(extra="allow")

    Kind: ConfigEntryKind = Field(description="Its kind, such as `service-defaults`.")
    Name: Label = Field(description="Its name. `mesh` needs none.")

    @property
    def body(self) -> dict[str, Any]:
        """All other fields, as written."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _name_of_mesh(cls, value: Any) -> Any:
        return {"Name": "mesh", **value} if isinstance(value, Mapping) and value.get("Kind") == "mesh" else value

    @model_validator(mode="before")
    @classmethod
    def _kind_that_is_written(cls, value: Any) -> Any:
        kind = value.get("Kind") if isinstance(value, Mapping) else None
        if isinstance(kind, str) and kind in NO_KINDS:
            what, what_to_do = NO_KINDS[kind]
            raise Mistake(f"is {kind}, which {what}", what_to_do, ("Kind",))
        return value

    @model_validator(mode="before")
    @classmethod
    def _references(cls, value: Any) -> Any:
        return with_secrets(value.get("Kind"), value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _only_name(self) -> ConfigEntry:
        only = ONLY_NAMES.get(self.Kind)
        if only is not None and self.Name != only:
            raise Mistake(f"has the name {shown(self.Name)}", f"write Name: {only}; there is no other {self.Kind}", ("Name",))
        return self

    @model_validator(mode="after")
    def _no_key_twice(self) -> ConfigEntry:
        # Consul reads Protocol, protocol and PROTOCOL as one, and refuses a body that has two of them
        seen = {folded(key): key for key in ("Kind", "Name")}
        for key in self.model_extra or {}:
            if folded(key) in seen:
                raise Mistake(f"is another spelling of {seen[folded(key)]}", "write it once", (key,), at_key=True)
            seen[folded(key)] = key
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        named = {"if": {"properties": {"Kind": {"const": "mesh"}}, "required": ["Kind"]}, "else": {"required": ["Name"]}}
        return {**handler(schema), "required": ["Kind"], **named}

"""The manifest as values. Attribute names are the manifest's keys (docs/design.md §3); labels stand in for names, and ``server`` is always set.

The sections lie in :mod:`connections`, :mod:`acl`, :mod:`mesh`, :mod:`kv` and :mod:`databases` beside this file and are all named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticKnownError

from reconciler.manifest.acl import (
    AclPolicy,
    AclRole,
    AclToken,
    ClusterSection,
    MeshCredentials,
    MeshNode,
    NodeIdentity,
    ServiceIdentity,
    TemplatedPolicy,
    TokenFile,
)
from reconciler.manifest.acl_rules import RulesText
from reconciler.manifest.connections import ConsulSection, HostSection, PostgresSection
from reconciler.manifest.databases import Database, DbRole, DefaultPrivilege, Extension, Grant, Membership, Schema
from reconciler.manifest.defaults import BY_NAME, DEFAULT_SERVER, Labelled, with_servers
from reconciler.manifest.fields import MANIFEST_NAME, Duration, KvKey, Label
from reconciler.manifest.kv import HostFile, KvEntry
from reconciler.manifest.mesh import (
    ConfigEntry,
    ExternalService,
    GatewayProcess,
    GatewayService,
    HeaderMatch,
    HealthCheck,
    HttpMatch,
    Intention,
    IntentionPermission,
    IntentionSource,
    TerminatingGateway,
)
from reconciler.manifest.queries import PreparedQuery, QueryFailover, QueryService, QueryTarget, QueryTemplate
from reconciler.manifest.section import Entry, Section
from reconciler.model.resource import OnRemoval


def _whole_number(version: Any) -> Any:
    # Python takes True and 1.0 for 1
    if type(version) is not int:
        raise PydanticKnownError("literal_error", {"expected": "1"})
    return version


class Manifest(Section):
    """Everything one manifest describes."""

    version: Annotated[Literal[1], BeforeValidator(_whole_number)] = Field(description="Version of the manifest's format: 1.")
    name: Annotated[str, MANIFEST_NAME] = Field(description="The owner of all that this manifest creates.")
    consul: ConsulSection | None = Field(default=None, description="How to reach Consul.")
    postgres: dict[Label, PostgresSection] | None = Field(default=None, description="Postgres servers, by name.")
    hosts: dict[Label, HostSection] = Field(default_factory=dict, description="Machines, by name.")
    mesh_credentials: MeshCredentials = Field(default_factory=MeshCredentials, description="ACL policies, roles and tokens.")
    terminating_gateways: dict[Label, TerminatingGateway] = Field(default_factory=dict, description="Terminating gateways, by name.")
    external_services: Annotated[dict[Label, ExternalService], Labelled(("service",))] = Field(
        default_factory=dict, description="Services outside the mesh, by label."
    )
    intentions: dict[Label, Intention] = Field(default_factory=dict, description="Who may reach whom, by destination.")
    config_entries: list[ConfigEntry] = Field(default_factory=list, description="Any other config entries.")
    prepared_queries: Annotated[dict[Label, PreparedQuery], BY_NAME] = Field(default_factory=dict, description="Prepared queries, by label.")
    kv: dict[KvKey, KvEntry] = Field(default_factory=dict, description="KV entries, by key.")
    db_roles: Annotated[dict[Label, DbRole], BY_NAME] = Field(default_factory=dict, description="Postgres roles, by label.")
    databases: Annotated[dict[Label, Database], BY_NAME] = Field(default_factory=dict, description="Postgres databases, by label.")
    files: dict[Label, HostFile] = Field(default_factory=dict, description="Plain files on machines, by label.")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        return with_servers(value) if isinstance(value, Mapping) else value

    @property
    def servers(self) -> tuple[str, ...]:
        """The names of the Postgres servers."""
        return tuple(self.postgres) if self.postgres else (DEFAULT_SERVER,)


__all__ = [
    "DEFAULT_SERVER",
    "AclPolicy",
    "AclRole",
    "AclToken",
    "ClusterSection",
    "ConfigEntry",
    "ConsulSection",
    "Database",
    "DbRole",
    "DefaultPrivilege",
    "Duration",
    "Entry",
    "Extension",
    "ExternalService",
    "GatewayProcess",
    "GatewayService",
    "Grant",
    "HeaderMatch",
    "HealthCheck",
    "HostFile",
    "HostSection",
    "HttpMatch",
    "Intention",
    "IntentionPermission",
    "IntentionSource",
    "KvEntry",
    "Manifest",
    "Membership",
    "MeshCredentials",
    "MeshNode",
    "NodeIdentity",
    "OnRemoval",
    "PostgresSection",
    "PreparedQuery",
    "QueryFailover",
    "QueryService",
    "QueryTarget",
    "QueryTemplate",
    "RulesText",
    "Schema",
    "Section",
    "ServiceIdentity",
    "TemplatedPolicy",
    "TerminatingGateway",
    "TokenFile",
]

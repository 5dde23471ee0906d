"""Prepared queries of Consul."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from reconciler.manifest.fields import DurationText, Label, Number, QueryName
from reconciler.manifest.mistake import Mistake
from reconciler.manifest.secret_fields import SecretField
from reconciler.manifest.section import Entry, Section


class QueryTarget(Section):
    """One place to look: a datacenter, or a cluster peer."""

    datacenter: Label | None = Field(default=None, description="A datacenter of this cluster.")
    peer: Label | None = Field(default=None, description="A cluster peer.")

    @model_validator(mode="after")
    def _one_of_two(self) -> QueryTarget:
        if (self.datacenter is None) == (self.peer is None):
            raise Mistake("must name either a datacenter or a peer", "write {datacenter: NAME} or {peer: NAME}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "oneOf": [{"required": ["datacenter"]}, {"required": ["peer"]}]}


class QueryFailover(Section):
    """Where to look when no instance is healthy here: by `nearest_n` and `datacenters`, or by `targets`."""

    model_config = ConfigDict(
        json_schema_extra={"dependentSchemas": {"targets": {"not": {"anyOf": [{"required": ["nearest_n"]}, {"required": ["datacenters"]}]}}}},
    )

    nearest_n: Annotated[int, Number(1, 1000)] | None = Field(default=None, description="How many other datacenters to try, by round-trip time.")
    datacenters: list[Label] | None = Field(default=None, description="Datacenters to try, in order.")
    targets: list[QueryTarget] | None = Field(default=None, description="Datacenters and cluster peers to try, in order; in place of the other two.")

    @model_validator(mode="after")
    def _targets_alone(self) -> QueryFailover:
        # Consul: "Targets cannot be populated with NearestN or Datacenters"
        if self.targets is not None and (self.nearest_n is not None or self.datacenters is not None):
            raise Mistake("has targets beside nearest_n or datacenters", "name them all in targets, or leave it out", ("targets",))
        return self


class QueryService(Section):
    """What a prepared query looks for."""

    service: Label = Field(description="Name of the service.")
    failover: QueryFailover | None = Field(default=None, description="Where to look when no instance is healthy here.")
    only_passing: bool | None = Field(default=None, description="Whether instances with a warning are left out.")
    near: Label | None = Field(default=None, description="Node by whose distance the answer is sorted.")
    tags: list[str] | None = Field(default=None, description="Tags that instances must have, or with ! must not have.")
    node_meta: dict[str, str] | None = Field(default=None, description="Metadata that nodes must have.")
    service_meta: dict[str, str] | None = Field(default=None, description="Metadata that instances must have.")
    peer: Label | None = Field(default=None, description="Cluster peer whose instances count, in place of this cluster's.")
    connect: bool | None = Field(default=None, description="Whether only mesh-capable instances count.")
    ignore_check_ids: list[Label] | None = Field(default=None, description="Checks whose state does not matter.")


class QueryTemplate(Section):
    """Makes a query answer for all names that match."""

    type: Literal["name_prefix_match"] = Field(description="The only type there is.")
    regexp: str | None = Field(default=None, description="Regular expression that takes the name apart.")
    remove_empty_tags: bool | None = Field(default=None, description="Whether empty tags are dropped.")


class PreparedQuery(Entry):
    """A prepared query of Consul."""

    name: QueryName = Field(default="", description='Its name; the label by default. "" is for a template that answers for what no other one does.')
    service: QueryService = Field(description="What it looks for.")
    dns_ttl: DurationText | None = Field(default=None, description="Time to live of its DNS answers.")
    template: QueryTemplate | None = Field(default=None, description="Makes it answer for all names that match.")
    token: SecretField | None = Field(default=None, description="Token it is executed with; that of whoever asks by default.")

    @model_validator(mode="after")
    def _only_a_template_without_a_name(self) -> PreparedQuery:
        if not self.name and self.template is None:
            raise Mistake("has no name", "give it one: only a template can be without")
        return self

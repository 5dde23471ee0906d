"""Prepared queries of Consul."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reconciler.manifest.fields import DurationText, Label, Number, QueryName
from reconciler.manifest.mistake import Mistake
from reconciler.manifest.secret_fields import SecretField
from reconciler.manifest.section import Entry, Section


class QueryFailover(Section):
    """Where to look when no instance is healthy here."""

    nearest_n: Annotated[int, Number(1, 1000)] | None = Field(default=None, description="How many other datacenters to try, by round-trip time.")
    datacenters: list[Label] | None = Field(default=None, description="Datacenters to try, in order.")


class QueryService(Section):
    """What a prepared query looks for."""

    service: Label = Field(description="Name of the service.")
    failover: QueryFailover | None = Field(default=None, description="Where to look when no instance is healthy here.")
    only_passing: bool | None = Field(default=None, description="Whether instances with a warning are left out.")
    near: Label | None = Field(default=None, description="Node by whose distance the answer is sorted.")
    tags: list[str] | None = Field(default=None, description="Tags that instances must have, or with ! must not have.")
    node_meta: dict[str, str] | None = Field(default=None, description="Metadata that nodes must have.")
    service_meta: dict[str, str] | None = Field(default=None, description="Metadata that instances must have.")
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

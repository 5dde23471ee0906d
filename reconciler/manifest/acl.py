"""ACL policies, roles and tokens, and the cluster's credentials: the section ``mesh_credentials``."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from reconciler.credentials.node import ARCHIVE
from reconciler.manifest.acl_rules import RULES
from reconciler.manifest.defaults import BY_NAME, Labelled
from reconciler.manifest.fields import (
    AbsolutePath,
    AclName,
    AclRoleName,
    DurationText,
    FileMode,
    FileOwner,
    HostAddress,
    IdentityName,
    Label,
    LocalPath,
    Number,
    Uuid,
)
from reconciler.manifest.mistake import Mistake
from reconciler.manifest.secret_fields import SecretField
from reconciler.manifest.section import Entry, Section, Shorthand, one_or_list, single
from reconciler.model.resource import OnRemoval


class AclPolicy(Entry):
    """An ACL policy of Consul."""

    name: AclName = Field(default="", description="Its name in Consul; the label by default.")
    description: str | None = Field(default=None, description="Its description in Consul.")
    rules: Annotated[str | dict[str, Any], RULES] = Field(description="ACL rules: a mapping, HCL or JSON text, or {file: PATH}.")


LEAST_EXPIRY_S: Final = 60


class ServiceIdentity(Section):
    """The rights of a service's sidecar, as Consul derives them from its name."""

    service: IdentityName = Field(description="Name of the service.")
    datacenters: list[Label] | None = Field(default=None, description="Datacenters in which it is valid; all by default.")


class NodeIdentity(Section):
    """The rights of an agent, as Consul derives them from its node name."""

    node: IdentityName = Field(description="Name of the node.")
    datacenter: Label = Field(description="Its datacenter.")


_NAMED_TEMPLATES: Final = frozenset({"builtin/service", "builtin/node", "builtin/api-gateway"})


class TemplatedPolicy(Section):
    """One of Consul's built-in policy templates."""

    template: Literal["builtin/service", "builtin/node", "builtin/dns", "builtin/nomad-server", "builtin/nomad-client", "builtin/api-gateway"] = (
        Field(description="Name of the template, such as `builtin/service`.")
    )
    name: IdentityName | None = Field(default=None, description="The service, node or gateway that it is for; the other templates take none.")
    datacenters: list[Label] | None = Field(default=None, description="Datacenters in which it is valid; all by default.")

    @model_validator(mode="after")
    def _name_where_it_is_for_one(self) -> TemplatedPolicy:
        if self.template in _NAMED_TEMPLATES and self.name is None:
            raise Mistake("lacks name", f"add it: {self.template} is for one {self.template.rpartition('/')[2]}")
        if self.template not in _NAMED_TEMPLATES and self.name is not None:
            raise Mistake("has a name that means nothing", f"remove it: {self.template} takes none")
        return self


class AclRole(Entry):
    """An ACL role of Consul: a named set of policies and identities."""

    name: AclRoleName = Field(default="", description="Its name in Consul; the label by default.")
    description: str | None = Field(default=None, description="Its description in Consul.")
    policies: list[Label] | None = Field(default=None, description="Names of its policies.")
    service_identities: list[ServiceIdentity] | None = Field(default=None, description="Its service identities.")
    node_identities: list[NodeIdentity] | None = Field(default=None, description="Its node identities.")
    templated_policies: list[TemplatedPolicy] | None = Field(default=None, description="Its templated policies.")


class TokenFile(Section):
    """A file on a host that holds the secret of a token, and nothing else."""

    host: Label = Field(default="local", description="Machine (from `hosts`); `local` by default.")
    path: AbsolutePath = Field(description="Absolute path of the file.")
    owner: FileOwner | None = Field(default=None, description="Account that owns the file; a name, or a number in quotes.")
    group: FileOwner | None = Field(default=None, description="Group of the file; a name, or a number in quotes.")
    mode: FileMode = Field(default="0600", description='Octal mode in quotes, "0600" by default.')


class AclToken(Entry):
    """An ACL token of Consul. Its secret is made here and shown nowhere."""

    description: str | None = Field(default=None, description="Its description in Consul.")
    policies: list[Label] = Field(default_factory=list, description="Names of its policies.")
    roles: list[Label] | None = Field(default=None, description="Names of its ACL roles.")
    service_identities: list[ServiceIdentity] | None = Field(default=None, description="Its service identities.")
    node_identities: list[NodeIdentity] | None = Field(default=None, description="Its node identities.")
    templated_policies: list[TemplatedPolicy] | None = Field(default=None, description="Its templated policies.")
    local: bool | None = Field(default=None, description="Whether it is valid in this datacenter only.")
    expires_after: DurationText | None = Field(default=None, description='How long it is valid, such as "720h".')
    accessor: Uuid | None = Field(default=None, description="Its AccessorID; derived from the manifest's name, the label and `rotation` by default.")
    rotation: Annotated[int, Number(0, 2**31 - 1)] = Field(default=0, description="Raise it to replace the token by a new one.")
    file: Annotated[list[TokenFile], Shorthand(one_or_list, single)] = Field(
        default_factory=list, description="Where its secret is written: one file or a list of them."
    )

    @model_validator(mode="after")
    def _as_consul_takes_it(self) -> AclToken:
        if self.expires_after is not None and self.expires_after.seconds < LEAST_EXPIRY_S:
            raise Mistake("expires too soon", 'write at least "1m" in expires_after: Consul takes no less')
        if self.local and any(identity.datacenters for identity in self.service_identities or ()):
            raise Mistake("is local, and a service identity of it names datacenters", "leave out local, or the datacenters")
        return self


class MeshNode(Entry):
    """A machine that is a member of the mesh. It is never torn down: without its entry it is forgotten."""

    host: Label = Field(default="", description="Machine (from `hosts`); the label by default.")
    first_instance: bool = Field(default=False, description="Whether it is the mesh's first server, which all others come after.")
    address: HostAddress | None = Field(default=None, description="Address its agent binds to; the only one that it has by default.")

    @model_validator(mode="after")
    def _stays(self) -> MeshNode:
        if self.on_removal is OnRemoval.DELETE:
            raise Mistake("has on_removal: delete", "leave it out: a node of the mesh is never torn down")
        return self


class ClusterSection(Section):
    """The cluster credentials archive, and the machines that are to have it and to be members of the mesh."""

    file: LocalPath = Field(default=str(ARCHIVE), description="The archive, cluster-credentials.tar.gpg; that of this machine by default.")
    password: SecretField | None = Field(default=None, description="Its password; only needed to set a node up.")
    nodes: Annotated[dict[Label, MeshNode], Labelled(("host",))] = Field(default_factory=dict, description="Members of the mesh, by label.")

    @model_validator(mode="after")
    def _one_is_first(self) -> ClusterSection:
        first = [label for label, node in self.nodes.items() if node.first_instance]
        if len(first) > 1:
            raise Mistake(f"has {len(first)} nodes with first_instance: true ({', '.join(first)})", "leave it to one: a mesh has one first instance")
        return self

    @property
    def in_order(self) -> list[tuple[str, MeshNode]]:
        """The nodes by label, the first instance first, the others as they are written."""
        return sorted(self.nodes.items(), key=lambda item: not item[1].first_instance)


class MeshCredentials(Section):
    """Who may do what in the mesh."""

    policies: Annotated[dict[Label, AclPolicy], BY_NAME] = Field(default_factory=dict, description="ACL policies, by label.")
    roles: Annotated[dict[Label, AclRole], BY_NAME] = Field(default_factory=dict, description="ACL roles, by label.")
    tokens: dict[Label, AclToken] = Field(default_factory=dict, description="ACL tokens, by label.")
    cluster: ClusterSection | None = Field(default=None, description="The cluster's own credentials and members.")

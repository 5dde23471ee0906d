"""Roles and databases on Postgres servers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from reconciler.manifest.database_objects import OBJECT
from reconciler.manifest.defaults import BY_NAME
from reconciler.manifest.fields import ConnectionLimit, Label, PgName, PgRoleName, PgSettingName, PgText, Timestamp, Word
from reconciler.manifest.mistake import Mistake
from reconciler.manifest.secret_fields import SecretField
from reconciler.manifest.section import Entry, Section, Shorthand, listed_names, names_as_mapping

SERVER = "Server (from `postgres`); may be left out when there is only one."


class Membership(Section):
    """A role's membership in another."""

    admin: bool | None = Field(default=None, description="Whether it may pass the membership on.")
    inherit: bool | None = Field(default=None, description="Whether it has the rights without SET ROLE (Postgres 16 and later).")
    set: bool | None = Field(default=None, description="Whether it may SET ROLE (Postgres 16 and later).")


class DbRole(Entry):
    """A role of Postgres. What is left out is not compared and not written; on creation it is Postgres' default."""

    name: PgRoleName = Field(default="", description="Its name; the label by default.")
    server: Label = Field(default="", description=SERVER)
    login: bool | None = Field(default=None, description="Whether it may log in.")
    superuser: bool | None = Field(default=None, description="Whether all checks are passed over.")
    createdb: bool | None = Field(default=None, description="Whether it may create databases.")
    createrole: bool | None = Field(default=None, description="Whether it may create roles.")
    inherit: bool | None = Field(default=None, description="Whether it has the rights of roles it is a member of.")
    replication: bool | None = Field(default=None, description="Whether it may replicate.")
    bypassrls: bool | None = Field(default=None, description="Whether row-level security is passed over.")
    connection_limit: ConnectionLimit | None = Field(default=None, description="How many connections it may have, -1 for any number.")
    valid_until: Timestamp | None = Field(default=None, description="When its password ends to be valid; `infinity` for never.")
    settings: dict[PgSettingName, PgText] | None = Field(default=None, description="Settings of its sessions (ALTER ROLE … SET).")
    password: SecretField | None = Field(default=None, description="Its password; only a SCRAM verifier of it reaches the server.")
    member_of: Annotated[dict[PgName, Membership], Shorthand(names_as_mapping, listed_names)] | None = Field(
        default=None, description="Roles it is a member of: a list of names, or a mapping from name to options."
    )
    reassign_to: PgName | None = Field(default=None, description="Role that inherits its objects when it is deleted.")


class Grant(Entry):
    """Rights on one object for one grantee. Short form: the list of privileges."""

    privileges: list[Word] = Field(description="The privileges, such as SELECT; ALL for all there are, an empty list for none.")
    grantable: bool | None = Field(default=None, description="Whether they may be passed on.")

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return {"privileges": value} if isinstance(value, list) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "array", "items": {"type": "string"}}, handler(schema)]}


class Schema(Entry):
    """A schema in a database."""

    name: PgName = Field(default="", description="Its name; the label by default.")
    owner: PgName | None = Field(default=None, description="Role that owns it.")


class Extension(Entry):
    """An extension in a database."""

    name: PgName = Field(default="", description="Its name; the label by default.")
    into_schema: PgName | None = Field(default=None, alias="schema", description="Schema to install it into.")
    version: str | None = Field(default=None, description="Its version; the newest available by default.")


class DefaultPrivilege(Entry):
    """Rights on objects that a role will create."""

    owner: PgName = Field(description="Role that creates the objects.")
    into_schema: PgName | None = Field(default=None, alias="schema", description="Schema they are created in; any by default.")
    on: Literal["tables", "sequences", "functions", "types", "schemas"] = Field(description="Which objects.")
    to: PgName = Field(description="Role that gets the rights, or `PUBLIC`.")
    privileges: list[Word] = Field(description="The privileges, such as SELECT; ALL for all there are, an empty list for none.")


class Database(Entry):
    """A database of Postgres."""

    model_config = ConfigDict(
        json_schema_extra={"dependentSchemas": {"locale": {"not": {"anyOf": [{"required": ["lc_collate"]}, {"required": ["lc_ctype"]}]}}}},
    )

    name: PgName = Field(default="", description="Its name; the label by default.")
    server: Label = Field(default="", description=SERVER)
    owner: PgName | None = Field(default=None, description="Role that owns it.")
    encoding: Word | None = Field(default=None, description="Its encoding, such as UTF8. Cannot be changed.")
    locale: Word | None = Field(default=None, description="Its locale, such as C.UTF-8. Cannot be changed.")
    lc_collate: Word | None = Field(default=None, description="Its collation. Cannot be changed.")
    lc_ctype: Word | None = Field(default=None, description="Its character classes. Cannot be changed.")
    template: PgName | None = Field(default=None, description="Database it is copied from on creation, template0 by default.")
    connection_limit: ConnectionLimit | None = Field(default=None, description="How many connections it may have, -1 for any number.")
    grants: dict[PgName, dict[Annotated[str, OBJECT], Grant]] | None = Field(
        default=None, description="Rights, by grantee and object: `database`, `schema NAME`, `table SCHEMA.NAME`, `all tables in schema NAME` …"
    )
    schemas: Annotated[dict[PgName, Schema], BY_NAME] | None = Field(default=None, description="Schemas, by label.")
    extensions: Annotated[dict[PgName, Extension], BY_NAME] | None = Field(default=None, description="Extensions, by label.")
    default_privileges: dict[Label, DefaultPrivilege] | None = Field(default=None, description="Rights on objects to come, by label.")

    @model_validator(mode="after")
    def _one_locale(self) -> Database:
        if self.locale is not None and (self.lc_collate is not None or self.lc_ctype is not None):
            raise Mistake("has locale beside lc_collate or lc_ctype", "write locale, or the other two")
        return self

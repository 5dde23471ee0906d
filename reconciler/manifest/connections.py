"""How to reach the live systems: the sections ``consul``, ``postgres`` and ``hosts``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reconciler.manifest.fields import (
    ConsulAddress,
    DurationText,
    HostAddress,
    Label,
    LocalPath,
    Number,
    OsName,
    PgName,
    PgText,
    Port,
    SshDestination,
    Word,
)
from reconciler.manifest.secret_fields import ConsulTokenField, SecretField
from reconciler.manifest.section import Section

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class ConsulSection(Section):
    """The Consul agent to talk to. What is left out comes from CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT … as in the consul CLI."""

    address: ConsulAddress | None = Field(default=None, description="URL of the agent's HTTP API.")
    token: ConsulTokenField | None = Field(default=None, description="The ACL token to use.")
    ca_file: LocalPath | None = Field(default=None, description="CA certificates (PEM) that the agent's certificate is checked against.")
    ca_path: LocalPath | None = Field(default=None, description="Folder of such CA certificates.")
    cert_file: LocalPath | None = Field(default=None, description="Client certificate (PEM).")
    key_file: LocalPath | None = Field(default=None, description="Key of the client certificate (PEM).")
    tls_server_name: HostAddress | None = Field(default=None, description="Name expected in the agent's certificate.")
    verify: bool | None = Field(default=None, description="Whether the agent's certificate is checked.")
    timeout: DurationText | None = Field(default=None, description='How long one request may take, such as "30s".')


class PostgresSection(Section):
    """One Postgres server. What is left out comes from the PG* variables, the service file and the password file, as in libpq."""

    host: HostAddress | None = Field(default=None, description="Host name, or folder of the Unix socket.")
    hostaddr: HostAddress | None = Field(default=None, description="IP address, to spare the look-up of `host`.")
    port: Port | None = Field(default=None, description="TCP port, 5432 by default.")
    user: PgName | None = Field(default=None, description="Role to connect as.")
    password: SecretField | None = Field(default=None, description="Its password.")
    dbname: PgName | None = Field(default=None, description="Database to connect to, `postgres` by default. Never template1.")
    sslmode: SslMode | None = Field(default=None, description="How much TLS is asked for.")
    sslrootcert: LocalPath | None = Field(default=None, description="CA certificates (PEM), or `system`.")
    sslcert: LocalPath | None = Field(default=None, description="Client certificate (PEM).")
    sslkey: LocalPath | None = Field(default=None, description="Key of the client certificate.")
    sslcrl: LocalPath | None = Field(default=None, description="Certificate revocation list (PEM).")
    sslpassword: SecretField | None = Field(default=None, description="Password of `sslkey`.")
    channel_binding: Literal["disable", "prefer", "require"] | None = Field(default=None, description="Whether SCRAM is bound to the TLS channel.")
    require_auth: Word | None = Field(default=None, description="Authentication methods that are accepted, such as `scram-sha-256`.")
    target_session_attrs: Literal["any", "read-write", "primary"] | None = Field(default=None, description="Which server of several hosts to use.")
    service: Word | None = Field(default=None, description="Section of the connection service file.")
    passfile: LocalPath | None = Field(default=None, description="Password file.")
    connect_timeout: Annotated[int, Number(1, 3600, "number of seconds")] | None = Field(
        default=None, description="How many seconds connecting may take."
    )
    application_name: PgName | None = Field(default=None, description="Name shown in pg_stat_activity.")
    options: PgText | None = Field(default=None, description="Command-line options for the server, such as `-c lock_timeout=5s`.")
    via: Label | None = Field(default=None, description="Host (from `hosts`) through which the server is reached.")
    os_user: OsName | None = Field(default=None, description="Account of the host to connect as, for peer authentication.")


class HostSection(Section):
    """One machine. `local` is the one this runs on, and needs no entry."""

    ssh: SshDestination | None = Field(default=None, description="SSH destination, such as `root@gateway.example.com`.")
    port: Port | None = Field(default=None, description="SSH port, 22 by default.")
    sudo: bool | None = Field(default=None, description="Whether to act through sudo, which must not ask for a password.")
    consul: ConsulAddress | None = Field(
        default=None, description="URL of the Consul agent on it, as seen from there; http://127.0.0.1:8500 by default."
    )

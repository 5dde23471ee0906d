"""Meshes of the tests' own: one with every form that an entry can have, one with names and values that are hard to write down."""

from __future__ import annotations

import base64
from typing import Any

from tests.servers.consul import ConsulServer
from tests.servers.postgres import PostgresServer

LEGACY = (
    'service "shop" { policy = "write" }\nservice_prefix "shop-" { policy = "read"\n intentions = "read" }\nkey_prefix "shop/" { policy = "read" }\n'
)
QUOTED = '"key_prefix" = {\n  "shop/" = {\n    "policy" = "list"\n  }\n}\n"service" = {"shop" = {"policy" = "write"}}\noperator = "read"'
LISTED = '{"service": [{"ledger": {"policy": "write"}}, {"ledger-sidecar-proxy": {"policy": "write"}}], "node_prefix": {"": {"policy": "read"}}}'
SECRET = "s3cr3t of ledger ^2"
OTHER_SECRET = "known to nobody"
QUERY_TOKEN = "6d21b1f5-6d5f-4a0e-8d3b-0f0c4c1f4d11"


def make_every_form(consul: ConsulServer, postgres: PostgresServer) -> None:
    """Policies in each syntax, tokens that share one, entries in short and long forms, checks, flags, settings, a password nobody knows."""
    for name, rules in {"shop-policy": LEGACY, "shop-reader": QUOTED, "ledger": LISTED, "empty": ""}.items():
        consul.put("/v1/acl/policy", {"Name": name, "Description": "" if name == "empty" else f"Policy\n    for {name} ", "Rules": rules})
    for description, policies in (
        ("Token for shop/one ", ["shop-policy"]),
        ("Token for shop/two ", ["shop-policy"]),
        ("several", ["ledger", "empty"]),
    ):
        consul.put("/v1/acl/token", {"Description": description, "Policies": [{"Name": name} for name in policies]})
    identities = {"ServiceIdentities": [{"ServiceName": "shop", "Datacenters": ["dc1"]}], "NodeIdentities": [{"NodeName": "n", "Datacenter": "dc1"}]}
    templated = {"TemplatedPolicies": [{"TemplateName": "builtin/service", "TemplateVariables": {"Name": "ledger"}}]}
    consul.put("/v1/acl/role", {"Name": "shop-role", "Description": "r", "Policies": [{"Name": "shop-policy"}], **identities})
    consul.put("/v1/acl/token", {"Description": "by role", "Roles": [{"Name": "shop-role"}], "Local": True, **templated})
    service = {"Service": "shop", "Tags": ["a", "!b"], "Failover": {"NearestN": 2}, "NodeMeta": {"m": ""}}
    consul.request("POST", "/v1/query", {"Name": "shop-query", "Service": service, "DNS": {"TTL": "1m30s"}, "Token": QUERY_TOKEN})
    consul.request("POST", "/v1/query", {"Name": "", "Template": {"Type": "name_prefix_match"}, "Service": {"Service": "${name.full}"}})
    for entry in ENTRIES:
        consul.put("/v1/config", entry)
    check = {"Name": "probe", "CheckID": "ledger:probe", "ServiceID": "ledger-1", "Status": "passing", "Notes": "by hand"}
    ledger = {"ID": "ledger-1", "Service": "ledger", "Port": 5432, "Tags": ["b", "a"], "Meta": {"empty": "", "x": "1"}, "Address": "10.0.0.8"}
    node = {"Node": "Outside", "Address": "10.0.0.7", "NodeMeta": {"rack": "7"}}
    definition = {"Definition": {"TCP": "10.0.0.8:5432", "Interval": "90s", "Timeout": "5s"}}
    consul.put("/v1/catalog/register", {**node, "Service": ledger, "Checks": [{**check, **definition}]})
    consul.put("/v1/catalog/register", {**node, "Service": {"Service": "mail", "Port": 25}, "SkipNodeUpdate": True})
    consul.put("/v1/catalog/register", {"Node": "second", "Address": "mail.example.com", "Service": {"Service": "mail", "Port": 25}})
    keys = {
        "ledger/db-user": "ledger",
        "ledger/db-name": "ledger",
        "ledger/db-password": SECRET,
        "shop/api-token": "tok-en",
        "plain": "x",
        "shop/on": "0",
    }
    for key, value in keys.items():
        consul.put(f"/v1/kv/{key}?flags={7 if key in ('plain', 'shop/api-token') else 0}", value.encode())
    for statement in ROLES:
        postgres.query(statement)
    for statement in INSIDE:
        postgres.query(statement, database="ledger")


ENTRIES: tuple[dict[str, Any], ...] = (
    {"Kind": "service-defaults", "Name": "shop", "Protocol": "http", "MaxInboundConnections": 9, "Meta": {"owner": "a: b"}},
    {
        "Kind": "service-defaults",
        "Name": "ledger",
        "Protocol": "tcp",
        "UpstreamConfig": {
            "Defaults": {"Limits": {"MaxConnections": 0}, "PassiveHealthCheck": {"Interval": "90s"}},
            "Overrides": [{"Name": "mail", "Protocol": "tcp", "ConnectTimeoutMs": 5}],
        },
    },
    {"Kind": "service-intentions", "Name": "ledger", "Sources": [{"Name": "shop", "Action": "allow"}, {"Name": "*", "Action": "deny"}]},
    {
        "Kind": "service-intentions",
        "Name": "shop",
        "Meta": {"by": "hand"},
        "Sources": [
            {
                "Name": "sources",
                "Description": "a: b",
                "Permissions": [
                    {
                        "Action": "allow",
                        "HTTP": {"PathPrefix": "/", "Methods": ["GET", "PUT"], "Header": [{"Name": "x-user", "Present": True, "Invert": True}]},
                    },
                    {"Action": "deny", "HTTP": {"PathExact": "/admin"}},
                ],
            },
        ],
    },
    {
        "Kind": "terminating-gateway",
        "Name": "exit",
        "Services": [{"Name": "mail", "SNI": "mail.example.com", "CAFile": "/ca.pem", "CertFile": "/c.pem", "KeyFile": "/k.pem"}, {"Name": "ledger"}],
    },
    {"Kind": "terminating-gateway", "Name": "long", "Services": [{"Name": "other", "DisableAutoHostRewrite": True}]},
)

ROLES = (
    f"CREATE ROLE ledger LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 5",
    f"CREATE ROLE secretive LOGIN PASSWORD '{OTHER_SECRET}' VALID UNTIL '2040-01-01 00:00:00+00'",
    "CREATE ROLE readers NOINHERIT CREATEDB",
    "ALTER ROLE ledger SET search_path = app, public; ALTER ROLE ledger SET work_mem = '4096kB'",
    "CREATE DATABASE ledger OWNER ledger CONNECTION LIMIT 3",
    "GRANT readers TO secretive; GRANT readers TO ledger WITH ADMIN OPTION",
    "CREATE DATABASE old OWNER readers TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
)

INSIDE = (
    "CREATE SCHEMA app AUTHORIZATION ledger; CREATE SCHEMA other",
    "GRANT USAGE ON SCHEMA app TO readers; GRANT CONNECT, TEMPORARY ON DATABASE ledger TO secretive WITH GRANT OPTION",
    "REVOKE CONNECT ON DATABASE ledger FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE ledger IN SCHEMA app GRANT SELECT ON TABLES TO readers",
    "ALTER DEFAULT PRIVILEGES FOR ROLE ledger REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
)
"""What is in the database ``ledger``; nothing that would be data."""

HARD_NAMES = (
    "*star", "&anchor", "!tag", "- dash", "a: b", "a #b", "{curly}", "[square]", "'single'", '"double"', "back\\slash", "%percent", "@at", "`tick`",
    "?",     "yes", "null", "~", "1", "01", "1.5", "1e3", "0x1F", "2020-01-01", "<<", "=", "é", "日本", "😀", "x\u00a0y", "long" * 15,
)  # fmt: skip
"""Keys, names of roles, descriptions …: each is a name that a person could have given."""

HARD_VALUES = (
    "", " ", "\n", "two\nlines\n", "two\n\n  lines", "ends \n with blanks ", "\ttab", "cr\r\nlf", "nul\0", "bell\a", "\x1b[31m", "next\x85line",
    "\u2028", "\ufeff", "trailing\n\n", "|", ">", "# no comment", "no: yes",
    "- x\n- y\n", "'", '"', "\\", "%YAML 1.1", "---\n...\n", "<generated>", "é😀",
)  # fmt: skip


def make_hard_names(consul: ConsulServer, postgres: PostgresServer) -> None:
    """Names and values with a meaning in YAML, of other alphabets, of many lines."""
    for number, name in enumerate(HARD_NAMES):
        put_key(consul, f"{name}/{name}", name)
        postgres.query('CREATE ROLE "{}"'.format(name.replace('"', '""')))
        consul.put("/v1/acl/policy", {"Name": f"policy-{number}", "Description": name, "Rules": f'service {quoted(name)} {{ policy = "read" }}'})
        service = {"Service": name, "Port": 1, "Tags": [name], "Meta": {"m": name}}
        consul.put("/v1/catalog/register", {"Node": f"node {number}", "Address": "10.0.0.1", "NodeMeta": {"m": name}, "Service": service})
        if "*" not in name and name.isprintable():  # Consul keeps * for itself, and cannot delete an entry with an odd space
            consul.put(
                "/v1/config", {"Kind": "service-intentions", "Name": name, "Sources": [{"Name": name, "Action": "allow", "Description": name}]}
            )
    for number, value in enumerate(HARD_VALUES):
        consul.put(f"/v1/kv/values/{number}", value.encode())


def put_key(consul: ConsulServer, key: str, value: str) -> None:
    """In a transaction, which takes every key as it is."""
    consul.put("/v1/txn", [{"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value.encode()).decode()}}])


def quoted(name: str) -> str:
    from reconciler.kinds.consul._rules import _quoted

    return _quoted(name)

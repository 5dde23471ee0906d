"""Consul's own files, in every spelling that they occur in, become sections of a manifest."""

import json

import pytest

from reconciler.importing.operations import import_files
from reconciler.importing.request import Request
from reconciler.model.errors import ReconcilerError
from tests.importing.test_round_trips import document

RULES = {
    "legacy.hcl": 'service "web" { policy = "write" }\nservice_prefix "" { policy = "read" }\n',
    "quoted.hcl": '"service" = {"web" = {"policy" = "write"}}\n"service_prefix" = {"" = {"policy" = "read"}}\n',
    "listed.json": '{"service": [{"web": {"policy": "write"}}], "service_prefix": [{"": {"policy": "read"}}]}',
    "mapped.json": '{"service": {"web": {"policy": "write"}}, "service_prefix": {"": {"policy": "read"}}}',
    "api.json": json.dumps({"Name": "api", "Description": "d", "Rules": 'service "web" { policy = "write" }\nservice_prefix "" { policy = "read" }'}),
}
CAMEL = {"Protocol": "http", "MaxInboundConnections": 5, "UpstreamConfig": {"Defaults": {"Limits": {"MaxConnections": 7}}}}
SNAKE = {"protocol": "http", "max_inbound_connections": 5, "upstream_config": {"defaults": {"limits": {"max_connections": 7}}}}
CAMEL_HCL = 'Protocol = "http"\nMaxInboundConnections = 5\nUpstreamConfig { Defaults { Limits { MaxConnections = 7 } } }'
SNAKE_HCL = 'protocol = "http"\nmax_inbound_connections = 5\nupstream_config = { defaults = { limits = { max_connections = 7 } } }'
ENTRIES = {
    "camel.hcl": f'Kind = "service-defaults"\nName = "one"\n{CAMEL_HCL}',
    "snake.hcl": f'kind = "service-defaults"\nname = "two"\n{SNAKE_HCL}',
    "camel.json": json.dumps({"Kind": "service-defaults", "Name": "three", **CAMEL}),
    "snake.json": json.dumps({"kind": "service-defaults", "name": "four", **SNAKE}),
}
SERVICES = '[{ name = "a" }, { name = "b", ca_file = "/ca.pem" }]'
GATEWAYS = {
    "blocks.hcl": 'Kind = "terminating-gateway"\nName = "blocks"\nServices { Name = "a" }\nServices { Name = "b"\n CAFile = "/ca.pem" }',
    "list.hcl": 'Kind = "terminating-gateway"\nName = "list"\nServices = [{ Name = "a" }, { Name = "b", CAFile = "/ca.pem" }]',
    "snake.hcl": f'kind = "terminating-gateway"\nname = "snake"\nservices = {SERVICES}',
    "agent.hcl": f'config_entries {{ bootstrap = [{{ kind = "terminating-gateway", name = "agent", services = {SERVICES} }}] }}',
}


@pytest.fixture
def imported(tmp_path):
    def imported(files, **choices):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return import_files(tmp_path, Request(**{"name": "files", **choices}))

    return imported


def test_rules_mean_the_same_in_every_spelling(imported):
    first = imported(RULES)
    policies = document(first.text)["mesh_credentials"]["policies"]
    assert policies.keys() == {"legacy", "quoted", "listed", "mapped", "api"}
    assert policies["api"]["description"] == "d"
    assert {json.dumps(policy["rules"], sort_keys=True) for policy in policies.values()} == {
        '{"service": {"web": "write"}, "service_prefix": {"": "read"}}'
    }
    assert first.left_out == ()


def test_config_entries_mean_the_same_in_every_spelling(imported):
    entries = document(imported(ENTRIES).text)["config_entries"]
    assert {entry.pop("Name") for entry in entries} == {"one", "two", "three", "four"}
    assert all(entry == {"Kind": "service-defaults", **CAMEL} for entry in entries)


def test_lists_are_lists_as_blocks_too(imported):
    gateways = document(imported(GATEWAYS).text)["terminating_gateways"]
    assert gateways.keys() == {"blocks", "list", "snake", "agent"}
    assert all(gateway == {"services": {"a": {}, "b": {"ca_file": "/ca.pem"}}} for gateway in gateways.values())


def test_files_as_packages_have_them(imported):
    intentions = {"Kind": "service-intentions", "Name": "web", "Sources": [{"Name": "proxy", "Action": "allow"}]}
    registration = {
        "Node": "outside",
        "Address": "db.example.com",
        "NodeMeta": {"external-node": "true"},
        "Service": {"ID": "x", "Service": "db", "Port": 5432},
    }
    first = imported(
        {
            "web/service-discover/policies.json": RULES["listed.json"],
            "web/service-discover/service-protocol.json": '{"Kind": "service-defaults", "Name": "web", "Protocol": "http"}',
            "web/service-discover/intentions.json": json.dumps(intentions),
            "web/db-external.json": json.dumps(registration),
            "discover/web.hcl": 'service { name = "web" port = 80\n connect { sidecar_service {} } }',
            "discover/main.json": '{"acl": {"enabled": true}, "data_dir": "/var/lib", "server": true}',
        }
    )
    found = document(first.text)
    assert found["mesh_credentials"]["policies"].keys() == {"web-policy"}
    assert "does not say its name" in first.text
    assert found["intentions"] == {"web": {"proxy": "allow"}}
    assert found["external_services"] == {
        "db": {"node": "outside", "address": "db.example.com", "port": 5432, "id": "x", "node_meta": {"external-node": "true"}}
    }
    assert [entry["Name"] for entry in found["config_entries"]] == ["web"]
    assert dict(first.left_out).keys() == {"discover/web.hcl", "discover/main.json"}


def test_what_cannot_be_read_is_named_and_the_rest_is_read(imported):
    first = imported({"bad.hcl": "service {", "bytes.json": b"\xff{", "deep.json": "[" * 100_000, "good.hcl": RULES["legacy.hcl"], "notes.txt": "no"})
    assert document(first.text)["mesh_credentials"]["policies"].keys() == {"good"}
    assert dict(first.left_out).keys() == {"bad.hcl", "bytes.json", "deep.json"}
    assert "line 1" in dict(first.left_out)["bad.hcl"]


def test_two_files_that_disagree_are_named(imported):
    entry = '{"Kind": "service-defaults", "Name": "web", "Protocol": "%s"}'
    first = imported({"a.json": entry % "http", "b.json": entry % "tcp", "c.json": entry % "HTTP"})
    assert [what for what, _ in first.left_out] == ["config-entry/service-defaults/web in b.json"]


def test_an_empty_folder_is_an_error(imported):
    with pytest.raises(ReconcilerError, match=r"has no \*.hcl and no \*.json"):
        imported({})


def test_a_registration_is_an_external_service_and_nothing_else(imported):
    check = {"CheckID": "db:tcp", "Name": "db", "ServiceID": "db", "Status": "passing", "Definition": {"TCP": "db:5432", "interval": "10s"}}
    service = {"Service": "db", "Port": 5432, "Weights": {"Passing": 2, "Warning": 1}}
    first = imported(
        {
            "short.json": json.dumps({"Node": "outside", "Address": "db.example.com", "Service": service, "Check": check}),
            "snake.hcl": 'node = "two"\naddress = "10.0.0.2"\nservice { id = "x"\n service = "mail"\n port = 25\n tags = ["a"] }',
            "portless.json": '{"Node": "outside", "Address": "db.example.com", "Service": {"Service": "none"}}',
            "node.json": '{"Node": "bare", "Address": "10.0.0.3"}',
        }
    )
    assert document(first.text)["external_services"] == {
        "db": {
            "node": "outside",
            "address": "db.example.com",
            "port": 5432,
            "checks": {"db:tcp": {"name": "db", "status": "passing", "tcp": "db:5432", "interval": "10s"}},
        },
        "mail": {"node": "two", "address": "10.0.0.2", "port": 25, "id": "x", "tags": ["a"]},
    }
    assert "  # not said here, and left as it is: its Weights\n  db:\n" in first.text
    assert dict(first.left_out) == {
        "external-service/outside/none": "port is 0",
        "external-node/bare": "no service lies on it, and a node is only declared with one",
    }


def test_what_is_not_for_a_manifest_is_said_once(imported):
    first = imported(
        {
            "block.hcl": 'service {\n name = "web"\n port = 80\n}',
            "blocks.hcl": 'services { name = "a" }\nservices { name = "b" }',
            "list.json": '{"services": [{"name": "a", "port": 1}]}',
            "agent.json": '{"data_dir": "/var/lib", "server": true}',
            "typo.json": '{"Kind": "service-defalts", "Name": "x"}',
            "made.json": '{"Kind": "bound-api-gateway", "Name": "x"}',
            "other.json": '{"name": "left-pad", "version": "1.0"}',
            "empty.hcl": "",
        }
    )
    assert first.text.partition("# Left out:\n")[2] == (
        "#   agent.json: settings of an agent, and no config entry among them\n"
        "#   services of a local agent, which registers them itself: not for a manifest:\n"
        "#     block.hcl\n#     blocks.hcl\n#     list.json\n"
        "#   config-entry/bound-api-gateway/x: bound-api-gateway is made by Consul itself for an api-gateway\n"
        "#   config-entry/service-defalts/x: there is no kind of config entries called service-defalts, did you mean service-defaults?\n"
        "#   empty.hcl: empty\n"
        "#   other.json: no ACL policy, no config entry and no registration of an external service in it\n"
    )

"""``docs/manifest.md`` says of every field what is so, and every manifest in the documentation is valid."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.engine.observe import declare, unsupported
from reconciler.kinds import all_kinds
from reconciler.kinds.consul._entries import DECLARATIONS
from reconciler.manifest import acl, connections, databases, kv, mesh, queries
from reconciler.manifest.loading import load, load_texts
from reconciler.manifest.section import OPTIONS, Section
from tests.unit.pages import MANIFEST, PAGES, ROOT, SPAN, Block, blocks, tables, text_of

YAML = [block for page in PAGES for block in blocks(page) if block.language == "yaml"]
MANIFESTS = [b for b in YAML if not b.text.startswith("# overlay")]


@pytest.mark.parametrize("block", MANIFESTS, ids=str)
def test_every_manifest_is_valid_and_supported(block: Block, tmp_path: Path):
    text = block.text if "version: 1\n" in block.text else f"version: 1\nname: fragment\n{block.text}"
    (tmp_path / "manifest.yaml").write_text(text)
    manifest = load([tmp_path / "manifest.yaml"])
    assert manifest.warnings == ()
    assert unsupported(manifest) == []
    declare(manifest)


def test_there_are_manifests_to_check():
    assert len(MANIFESTS) > 10


def test_every_overlay_merges_over_what_stands_before_it():
    overlays = [(before, b) for before, b in pairwise(YAML) if b.text.startswith("# overlay")]
    assert overlays
    for base, overlay in overlays:
        assert base.page == overlay.page
        assert load_texts([("base.yaml", base.text), ("overlay.yaml", overlay.text)], Path()).warnings == ()


def supported(model: type[Section], *unsupported_yet: str) -> set[str]:
    return {f.alias or name for name, f in model.model_fields.items()} - set(OPTIONS) - set(unsupported_yet)


FIELDS: dict[tuple[str, str], set[str]] = {
    ("Options of every entry", "field"): set(OPTIONS),
    ("consul", "field"): supported(connections.ConsulSection),
    ("postgres", "field"): supported(connections.PostgresSection),
    ("hosts", "field"): supported(connections.HostSection),
    ("mesh_credentials.policies", "field"): supported(acl.AclPolicy),
    ("mesh_credentials.roles", "field"): supported(acl.AclRole),
    ("mesh_credentials.roles", "field of a service identity"): supported(acl.ServiceIdentity),
    ("mesh_credentials.roles", "field of a node identity"): supported(acl.NodeIdentity),
    ("mesh_credentials.roles", "field of a templated policy"): supported(acl.TemplatedPolicy),
    ("mesh_credentials.tokens", "field"): supported(acl.AclToken),
    ("mesh_credentials.tokens", "field of a file"): supported(acl.TokenFile),
    ("mesh_credentials.cluster", "field"): supported(acl.ClusterSection),
    ("mesh_credentials.cluster", "field of a node"): supported(acl.MeshNode),
    ("terminating_gateways", "field"): supported(mesh.TerminatingGateway),
    ("terminating_gateways", "field of a service"): supported(mesh.GatewayService),
    ("The gateway's process", "field of a process"): supported(mesh.GatewayProcess),
    ("external_services", "field"): supported(mesh.ExternalService),
    ("external_services", "field of a check"): supported(mesh.HealthCheck, "udp", "disable_redirects"),
    ("intentions", "field"): supported(mesh.Intention),
    ("intentions", "field of a source"): supported(mesh.IntentionSource),
    ("intentions", "field of a permission"): supported(mesh.IntentionPermission),
    ("intentions", "field of a condition"): supported(mesh.HttpMatch),
    ("intentions", "field of a header condition"): supported(mesh.HeaderMatch),
    ("config_entries", "field"): supported(mesh.ConfigEntry),
    ("prepared_queries", "field"): supported(queries.PreparedQuery),
    ("prepared_queries", "field of `service`"): supported(queries.QueryService),
    ("prepared_queries", "field of `failover`"): supported(queries.QueryFailover),
    ("prepared_queries", "field of `template`"): supported(queries.QueryTemplate),
    ("kv", "field"): supported(kv.KvEntry),
    ("files", "field"): supported(kv.HostFile),
    ("db_roles", "field"): supported(databases.DbRole),
    ("db_roles", "field of a membership"): supported(databases.Membership),
    ("databases", "field"): supported(databases.Database),
    ("databases", "field of a grant"): supported(databases.Grant),
    ("databases", "field of a schema"): supported(databases.Schema),
    ("databases", "field of an extension"): supported(databases.Extension),
    ("databases", "field of a default privilege"): supported(databases.DefaultPrivilege),
}
"""The tables of docs/manifest.md by heading and title, and the fields that each must have: those of the model that work."""


@pytest.mark.parametrize("table", FIELDS, ids=" ".join)
def test_every_field_of_the_models_is_in_the_reference_and_no_other(table: tuple[str, str]):
    assert tables(MANIFEST)[table] == FIELDS[table]


def test_the_reference_and_the_design_name_every_kind_of_address():
    for page, heading in ((MANIFEST, "Addresses"), (ROOT / "docs" / "design.md", "9. Kinds and addresses")):
        assert {a.partition("/")[0] for a in tables(page)[heading, "address"]} == set(all_kinds())


def test_the_reference_names_the_kinds_of_config_entries_that_work():
    (row,) = (line for line in text_of(MANIFEST).splitlines() if line.startswith("| `Kind` |"))
    assert set(SPAN.findall(row.split("|")[2])) == set(DECLARATIONS)

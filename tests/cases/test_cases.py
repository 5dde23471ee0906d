"""The measured state of real packages, declared as a manifest: applied, it is what was measured; damaged, it is repaired; destroyed, it is gone."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.change import Action
from tests.importing.made_by_others import cases, load_case, make, meaning
from tests.laws.mesh import Mesh

CASES = cases()
ABSENT = pytest.mark.skip(reason="the cases are not at hand")


@pytest.fixture
def mesh(consul, postgres18, tmp_path):
    return Mesh(consul, postgres18, tmp_path)


@pytest.fixture(params=[pytest.param(path, id=path.stem) for path in CASES] or [pytest.param(None, marks=ABSENT)])
def case(request):
    return load_case(request.param)


def declared(case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The manifest that a person would write for a case; token files go into ``folder``."""
    tokens = {f"token-{number}": _token(token, folder) for number, token in enumerate(case["acl_tokens"])}
    services = [s["payload"] for s in case["services"] if s.get("via", "").endswith("/catalog/register") and "payload" in s]
    return {
        "name": "case",
        "mesh_credentials": {
            "policies": {p["name"]: {"description": p["description"], "rules": p["rules"]} for p in case["acl_policies"]},
            "tokens": tokens,
        },
        "external_services": {s["Service"]["Service"]: _service(s) for s in services},
        "config_entries": [*case["config_entries"], *case.get("intentions_needed", ())],
        "kv": {entry["key"]: _value(entry) for entry in case["kv"]},
        "db_roles": {role["name"]: _role(role) for role in case["roles"]},
        "databases": {database["name"]: {"owner": database["owner"]} for database in case["databases"]},
    }


def _token(token: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    file = {"path": str(folder / Path(token["token_file"]["path"]).parts[3]), "mode": token["token_file"]["mode"]}
    return {"description": token["description"], "policies": token["policies"], "file": file}


def _service(payload: Mapping[str, Any]) -> dict[str, Any]:
    service = payload["Service"]
    node = {"node": payload["Node"], "address": payload["Address"], "node_meta": payload["NodeMeta"]}
    return {**node, "id": service["ID"], "port": service["Port"]}


def _value(entry: Mapping[str, Any]) -> Any:
    value = entry.get("consistent_value") or entry["value"]
    return {"generate": {"bytes": 16, "encoding": "hex"}} if re.fullmatch("<.*>", value) else value


def _role(role: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {name: value for name, value in role["attributes"].items() if value is not None}
    return {**attributes, "password": {"kv": role["password_from_kv"]} if role["password_from_kv"] else role["password"]}


def comparable(mesh: Mesh) -> dict[str, Any]:
    """What is live, without what is made anew each time: tokens by what they say, generated values by their shape."""
    meant = copy.deepcopy(meaning(mesh.consul, mesh.postgres))
    meant["tokens"] = sorted(str({k: v for k, v in token.items() if k != "AccessorID"}) for token in meant["tokens"].values())
    meant["kv"] = {key: re.sub(rb"^[0-9a-f]{32}$", b"(32 hexadecimal digits)", value) for key, value in meant["kv"].items()}
    return meant


@pytest.fixture
def measured(mesh, case):
    """What is live when somebody has made the case by hand, on the same servers, which are empty again then."""
    make(case, mesh.consul, mesh.postgres)
    meant = comparable(mesh)
    mesh.consul.wipe()
    mesh.postgres.wipe()
    return meant


def test_a_case_is_made_repaired_and_removed(mesh, case, measured, tmp_path):
    empty = comparable(mesh)
    files = tmp_path / "tokens"
    files.mkdir()
    manifest = declared(case, files)
    created = mesh.apply_all(manifest)
    assert {c.action for c in created.changes} == {Action.CREATE}
    assert comparable(mesh) == measured
    assert mesh.plan(manifest).is_empty

    damage(mesh, case, files)
    assert {c.address for c in mesh.drift(manifest).changes} == {c.address for c in created.changes if c.address.kind != "external-service"}
    mesh.apply_all(manifest)
    assert comparable(mesh) == measured
    assert mesh.plan(manifest).is_empty
    assert mesh.drift(manifest).is_empty

    mesh.destroy(manifest)
    assert comparable(mesh) == empty
    assert list(files.iterdir()) == []
    assert mesh.http("GET", "/v1/kv/reconciler/?keys") is None


def damage(mesh: Mesh, case: Mapping[str, Any], files: Path) -> None:
    """Change everything that the manifest sets."""
    for policy in mesh.http("GET", "/v1/acl/policies"):
        if policy["Name"] in {p["name"] for p in case["acl_policies"]}:
            mesh.http("PUT", f"/v1/acl/policy/{policy['ID']}", {"Name": policy["Name"], "Description": policy["Description"], "Rules": ""})
    for token in mesh.http("GET", "/v1/acl/tokens"):
        if token["Description"] in {t["description"] for t in case["acl_tokens"]}:
            mesh.http("PUT", f"/v1/acl/token/{token['AccessorID']}", {"Description": "damaged"})
    for entry in reversed([*case["config_entries"], *case.get("intentions_needed", ())]):
        mesh.http("DELETE", f"/v1/config/{entry['Kind']}/{entry['Name']}")
    for service in case["services"]:
        if "payload" in service:
            mesh.http("PUT", "/v1/catalog/register", {"Node": service["payload"]["Node"], "Address": "192.0.2.1"})
    for entry in case["kv"]:
        if "generated" not in entry["value"]:
            mesh.http("PUT", f"/v1/kv/{entry['key']}", b"damaged")
        else:
            mesh.http("DELETE", f"/v1/kv/{entry['key']}")
    for role in case["roles"]:
        mesh.sql(f"ALTER ROLE \"{role['name']}\" NOLOGIN PASSWORD 'damaged'")
    for database in case["databases"]:
        mesh.sql(f'ALTER DATABASE "{database["name"]}" OWNER TO postgres')
    for file in files.iterdir():
        file.write_text("damaged")

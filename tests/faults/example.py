"""The example of the README with everything that it can have: a token file, a second service on the node, and a role whose password is generated."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-external-postgres" / "manifest.yaml"
NAME = "carbonio-files-db"
LABEL = "carbonio-gateway"
NODE = "external-files-db-node"
KEY = "carbonio-files/db-password"

Manifest = dict[str, Any]


def example(token_file: Path) -> Manifest:
    """As it stands in examples/, with a file for the token and a second service."""
    manifest: Manifest = YAML(typ="safe").load(EXAMPLE.read_text())
    assert manifest["name"] == NAME
    manifest["mesh_credentials"]["tokens"][LABEL]["file"] = {"path": str(token_file), "mode": "0600"}
    service = manifest["external_services"][NAME]
    manifest["external_services"]["carbonio-files-cache"] = {**service, "id": "carbonio-cache", "port": 6379}
    return manifest


def written(manifest: Manifest, password: str = "written") -> Manifest:
    """The same with a password that is not generated, so that it can be changed."""
    other = deepcopy(manifest)
    other["kv"][KEY] = password
    return other


def changed(manifest: Manifest) -> Manifest:
    """The same with one field of every kind changed."""
    other = written(manifest, "changed")
    other["mesh_credentials"]["policies"]["carbonio-gateway-policy"]["rules"]["service"]["carbonio-files-cache"] = "write"
    other["mesh_credentials"]["tokens"][LABEL]["description"] = "changed"
    other["mesh_credentials"]["tokens"][LABEL]["file"]["mode"] = "0640"
    other["terminating_gateways"][LABEL]["services"]["carbonio-files-cache"] = {}
    for service in other["external_services"].values():
        service["address"] = "other-database.example.com"
        service["port"] += 1
    other["intentions"][NAME] = {"carbonio-files": "allow", "carbonio-backup": "deny"}
    other["config_entries"][0]["MaxInboundConnections"] = 7
    other["kv"]["carbonio-files/db-name"] = "changed"
    other["db_roles"][NAME]["connection_limit"] = 9
    other["databases"][NAME]["connection_limit"] = 8
    return other


def rotated(manifest: Manifest, rotation: int) -> Manifest:
    """The same with another rotation of the token."""
    other = deepcopy(manifest)
    other["mesh_credentials"]["tokens"][LABEL]["rotation"] = rotation
    return other

"""Everything that is live in Consul, in Postgres and in the token file's folder: what this tool made by its meaning, what is others' to the index."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.example import KEY, LABEL, NAME, NODE
from tests.laws.mesh import Mesh

_OURS = "carbonio-"
_ROLES = f"SELECT rolname, rolconnlimit, rolcanlogin FROM pg_roles WHERE rolname LIKE '{_OURS}%' ORDER BY 1"
_DATABASES = f"SELECT datname, pg_get_userbyid(datdba), datconnlimit FROM pg_database WHERE datname LIKE '{_OURS}%' ORDER BY 1"


def managed(mesh: Mesh, folder: Path) -> dict[str, Any]:
    """What the example has made, in a form that is the same for every run: no identifiers, no indexes, of secrets only whether they are right."""
    pairs = {k["Key"]: base64.b64decode(k["Value"] or "").decode() for k in mesh.http("GET", f"/v1/kv/{_OURS}?recurse") or []}
    password = pairs.get(KEY, "")
    tokens = [t for t in mesh.http("GET", "/v1/acl/tokens") if t["Description"] in ("changed", f"Token for {LABEL}")]
    return {
        "policies": {p["Name"]: p["Hash"] for p in mesh.http("GET", "/v1/acl/policies") if p["Name"].startswith(_OURS)},
        "tokens": [(t["Description"], [p["Name"] for p in t["Policies"]]) for t in tokens],
        "config entries": [_without_indexes(e) for e in mesh.http("GET", "/v1/config/") if e.get("Name", "").startswith(_OURS)],
        "catalog": [_node(n) for n in mesh.http("GET", "/v1/internal/ui/nodes") if n["Node"] == NODE],
        "kv": pairs | ({KEY: "(generated)"} if len(password) == 32 else {}),
        "roles": [(*role, mesh.postgres.accepts(role[0], password)) for role in mesh.sql(_ROLES)],
        "databases": mesh.sql(_DATABASES),
        "files": {file.name: _file(file, [t["SecretID"] for t in tokens]) for file in sorted(folder.iterdir())},
        "records": records(mesh),
    }


def records(mesh: Mesh) -> dict[str, Any]:
    """The ownership records of the example, without what differs from run to run."""
    bodies = {p["Key"]: json.loads(base64.b64decode(p["Value"])) for p in mesh.http("GET", "/v1/kv/reconciler/owned/?recurse") or []}
    volatile = ("run", "written", "incarnation", "witness")
    same = {key: {k: v for k, v in body.items() if k not in volatile} for key, body in bodies.items() if body["owner"] == NAME}
    return {key: {**body, "holds": sorted(body.get("holds", ()))} for key, body in same.items()}  # each is another incarnation's


def untouched(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``now`` that was there ``before``; equal to ``before`` when nobody's things were touched. Both are ``Mesh.everything()``."""
    return {section: _untouched(there, now[section]) for section, there in before.items()}


def _untouched(before: Any, now: Any) -> Any:
    if isinstance(before, dict):
        return {key: now.get(key) for key in before}
    return [row for row in before if row in now] if isinstance(before, list) else now


def locks(mesh: Mesh) -> list[str]:
    """The keys under which somebody holds a lock, or has left one."""
    return mesh.http("GET", "/v1/kv/reconciler/lock/?keys") or []


def end_sessions(mesh: Mesh) -> int:
    """End the sessions that killed runs have left, which would end by themselves after their TTL; how many there were."""
    # first what they hold: Consul keeps the lock of a session that is destroyed with it from everybody for 15 s
    for lock in mesh.http("GET", "/v1/kv/reconciler/lock/?recurse") or []:
        if "Session" in lock:
            mesh.http("PUT", f"/v1/kv/{lock['Key']}?release={lock['Session']}")
    sessions = mesh.http("GET", "/v1/session/list")
    for session in sessions:
        assert session["TTL"] == "30s", "a session that would never end"
        mesh.http("PUT", f"/v1/session/destroy/{session['ID']}")
    return len(sessions)


def _without_indexes(entry: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in entry.items() if k not in ("CreateIndex", "ModifyIndex", "Hash")}
    if "Sources" in kept:
        kept["Sources"] = [{k: v for k, v in source.items() if not k.startswith("Legacy")} for source in kept["Sources"]]
    return kept


def _node(node: Mapping[str, Any]) -> tuple[str, dict[str, str], list[tuple[str, str, int]]]:
    return node["Address"], node["Meta"], sorted((s["ID"], s["Service"], s["Port"]) for s in node["Services"])


def _file(file: Path, secrets: list[str]) -> tuple[str, bool]:
    return stat.filemode(file.stat().st_mode), file.read_text() in [f"{secret}\n" for secret in secrets]

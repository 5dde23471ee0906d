"""A law of every kind in Consul: the rights that it says it needs are enough, and each that is missing is named before anything is written."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from reconciler.engine.operations import Options, plan
from reconciler.engine.policy import smallest
from reconciler.kinds import all_kinds
from reconciler.manifest.loading import load
from reconciler.model.errors import AccessDenied
from reconciler.model.kind import Permission
from reconciler.systems.consul.client import Consul
from tests.kinds.consul.test_rights import rules_for

from .mesh import Mesh
from .specimen import Manifest
from .test_laws import only_those, specimen

__all__ = ["specimen"]

OF_EVERY_RUN = 'key_prefix "reconciler/" { policy = "write" } session_prefix "" { policy = "write" }'

of_consul = only_those(lambda s: all_kinds()[s.address.partition("/")[0]].system == "consul")


def asked_for(mesh: Mesh, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> list[Permission]:
    """What a run that applies ``manifest`` asks of its token for the sake of its resources."""
    asked: set[Permission] = set()
    authorize = Consul.authorize

    def noting(self: Consul, permissions: Iterable[Permission]) -> object:
        permissions = list(permissions)
        asked.update(permissions)
        return authorize(self, permissions)

    with monkeypatch.context() as patched, mesh.connections(manifest) as connections:
        patched.setattr(Consul, "authorize", noting)
        plan(connections, Options(), write=True)
    return sorted((p for p in asked if p.address is not None), key=lambda p: (p.resource, p.segment, p.access))


def without(missing: Permission, asked: Iterable[Permission]) -> str:
    """Rules that grant the rest."""
    return f"{OF_EVERY_RUN}\n{rules_for(p for p in asked if p != missing)}"


def printed(manifest: Manifest, mesh: Mesh) -> str:
    """The rules that ``reconciler policy`` prints."""
    return json.dumps(smallest(load([mesh.write(manifest)]), "apply").rules)


@contextmanager
def as_token(mesh: Mesh, rules: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program runs with a token that may do just this."""
    name = f"rights-{uuid.uuid4()}"
    policy = mesh.http("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
    token = mesh.http("PUT", "/v1/acl/token", {"Description": name, "Policies": [{"ID": policy["ID"]}]})
    with monkeypatch.context() as patched:
        patched.setitem(mesh.environment, "CONSUL_HTTP_TOKEN", token["SecretID"])
        try:
            yield
        finally:
            mesh.http("DELETE", f"/v1/acl/token/{token['AccessorID']}")
            mesh.http("DELETE", f"/v1/acl/policy/{policy['ID']}")


@of_consul
def test_rights_that_are_asked_for_are_enough_and_each_that_is_missing_is_named(mesh, specimen, monkeypatch):
    asked = asked_for(mesh, specimen.manifest, monkeypatch)
    assert asked
    before = mesh.everything()
    for missing in asked:
        if missing.access == "read" and Permission(missing.resource, missing.segment, "write") in asked:
            continue  # who may write may read
        with as_token(mesh, without(missing, asked), monkeypatch), pytest.raises(AccessDenied, match=re.escape(str(missing))):
            mesh.apply(specimen.manifest)
    assert mesh.everything() == before
    with as_token(mesh, printed(specimen.manifest, mesh), monkeypatch):
        mesh.apply_all(specimen.manifest)
        assert mesh.plan(specimen.manifest).is_empty
        mesh.destroy(specimen.manifest)
    assert not specimen.exists(mesh)

"""A law of every kind in Consul: the rights that it says it needs are enough, and each that is missing is named before anything is written."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from reconciler.engine.operations import Options, plan
from reconciler.kinds import all_kinds
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


@contextmanager
def as_token(mesh: Mesh, permissions: Iterable[Permission], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program runs with a token that may do just this."""
    name = f"rights-{uuid.uuid4()}"
    rules = OF_EVERY_RUN + "\n" + rules_for(permissions)
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
        left = [p for p in asked if p != missing]
        if Permission(missing.resource, missing.segment, "write") in left:
            continue  # who may write may read
        right = f"{missing.resource}:{missing.access}" + (f' on "{missing.segment}"' if missing.segment else "")
        with as_token(mesh, left, monkeypatch), pytest.raises(AccessDenied, match=re.escape(right)):
            mesh.apply(specimen.manifest)
    assert mesh.everything() == before
    with as_token(mesh, asked, monkeypatch):
        mesh.apply_all(specimen.manifest)
        assert mesh.plan(specimen.manifest).is_empty
        mesh.destroy(specimen.manifest)
    assert not specimen.exists(mesh)

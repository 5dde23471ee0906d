"""The first token of a cluster: ``PUT /v1/acl/bootstrap``, which Consul allows once (docs/facts.md: Consul 16)."""

from __future__ import annotations

import re
from typing import Final

from reconciler.model.errors import Rejected
from reconciler.model.secret import Secret
from reconciler.model.value import JSON
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.faults import denied
from reconciler.systems.consul.http import encoded

_NO_LONGER: Final = re.compile(r"ACL bootstrap no longer allowed(?: \(reset index: (\d+)\))?")


class BootstrappedBefore(Rejected):
    """The cluster has had its first token. ``reset_index`` is what Consul wants to see in ``acl-bootstrap-reset``, where it says so."""

    def __init__(self, address: str, reset_index: int | None) -> None:
        index = f" (reset index: {reset_index})" if reset_index is not None else ""
        super().__init__(f"the ACLs of Consul at {address} were bootstrapped before{index}: if the token of then is lost, reset the bootstrap first")
        self.reset_index = reset_index


def bootstrap_acls(consul: Consul, secret: Secret) -> JSON:
    """Make the management token of a new cluster, with a secret that was chosen here; the token as Consul has it.

    Raises BootstrappedBefore, OutcomeUnknown when the answer was lost, or another SystemFault.
    """
    path = "/v1/acl/bootstrap"
    reply = consul.http.send("PUT", path, body=encoded({"BootstrapSecret": secret}), accept={403})
    if reply.status != 403:
        return reply.json()
    text = reply.body.decode("utf-8", "replace")
    found = _NO_LONGER.search(text)
    if found is None:
        raise denied(text, reply.request, consul.settings)
    raise BootstrappedBefore(consul.settings.address, int(found[1]) if found[1] else None)

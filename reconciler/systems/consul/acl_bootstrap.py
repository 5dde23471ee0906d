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
_ANOTHER_INDEX: Final = re.compile(r"Invalid bootstrap reset index \(specified \d+, reset index: (\d+)\)")
_NO_UUID: Final = Secret("a secret that is none, so that no token can be made of it")


class BootstrappedBefore(Rejected):
    """The cluster has had its first token. ``reset_index`` is what Consul wants to see in ``acl-bootstrap-reset``, where it says so."""

    def __init__(self, address: str, reset_index: int | None) -> None:
        index = f" (reset index: {reset_index})" if reset_index is not None else ""
        lost = "if the token of then is lost, make another (reconciler credentials regenerate --acl-only, on the leader)"
        super().__init__(f"the ACLs of Consul at {address} were bootstrapped before{index}: {lost}")
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


def reset_index(consul: Consul) -> int:
    """What Consul wants to see in ``acl-bootstrap-reset``. Asking makes no token, but takes a file away that has the right index already.

    Raises Rejected when the cluster was never bootstrapped, or another SystemFault.
    """
    where = f"Consul at {consul.settings.address}"
    # twice: a file with the right index is taken away before Consul looks at the secret
    for _ in range(2):
        try:
            bootstrap_acls(consul, _NO_UUID)
        except BootstrappedBefore as before:
            if before.reset_index is None:
                raise Rejected(f"{where} does not say its reset index: see whether it is a server of the primary datacenter") from None
            return before.reset_index
        except Rejected as rejected:
            found = _ANOTHER_INDEX.search(str(rejected))
            if found is not None:
                return int(found[1])
            if "uuid" not in str(rejected).lower():
                raise
    raise Rejected(f"the ACLs of {where} were never bootstrapped, so there is nothing to reset: reconciler credentials bootstrap")


def known_token(consul: Consul) -> JSON | None:
    """The token that ``consul`` is asked with, as the leader knows it, without its secret; None only where it says that there is none such.

    Raises a SystemFault where that cannot be told.
    """
    # consistent: a new leader may not have read all of its log yet
    reply = consul.http.send("GET", "/v1/acl/token/self", query=[("expanded", "true"), ("consistent", "")], accept={401, 403})
    text = reply.body.decode("utf-8", "replace")
    if reply.status == 401 or (reply.status == 403 and "ACL not found" in text):
        return None
    if reply.status == 403:
        raise denied(text, reply.request, consul.settings)
    token: dict[str, JSON] = reply.json()
    del token["SecretID"]
    return token

"""Whether an archive is what it should be: each check a value, with what to do when it fails."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from reconciler.credentials.archive import ACL_TOKEN, CA, CA_KEY, GOSSIP_KEY, MEMBERS, Archive
from reconciler.credentials.certificates import CaCertificate, key_fits, read_ca, was_issued_by
from reconciler.credentials.opening import BadArchive
from reconciler.model.errors import ReconcilerError, SystemFault
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.connection import ConsulSettings, fit_for_a_header
from reconciler.systems.consul.faults import UnknownToken
from reconciler.systems.consul.peer import agent_certificate

GLOBAL_MANAGEMENT = "00000000-0000-0000-0000-000000000001"
"""The ID of the policy ``global-management``, the same in every cluster."""

MAKE_ANOTHER = "make a new token (reconciler credentials regenerate --acl-only)"

GOSSIP_KEY_BYTES = (16, 24, 32)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``verify``. ``warning`` and ``unknown`` are no failures: soon to expire; could not be looked at from here."""

    name: Literal["archive", "password", "members", "gossip-key", "ca", "ca-expiry", "ca-key", "token", "management", "agents"]
    result: Literal["passed", "warning", "unknown", "failed"]
    what: str
    what_to_do: str = ""


def opened(open_it: Callable[[], Archive]) -> tuple[Archive | None, list[Check]]:
    """The archive, None when it cannot be opened, and the checks of that. Raises ReconcilerError for what is not the archive's fault."""
    from reconciler.systems.openpgp import WrongPassword

    try:
        return open_it(), [Check("password", "passed", "the password opens the archive")]
    except WrongPassword as error:
        return None, [_failed("password", str(error))]
    except BadArchive as error:
        return None, [_failed("archive", str(error))]


def _failed(name: Literal["archive", "password", "token"], sentence: str) -> Check:
    what, _, what_to_do = sentence.rpartition(": ")
    return Check(name, "failed", what, what_to_do)


def verify(archive: Archive, settings: ConsulSettings, now: datetime, warn_before: timedelta) -> Iterator[Check]:
    """Every check, one after the other. ``settings`` are those of the Consul to ask; its token is replaced by the archive's."""
    yield _members(archive)
    if GOSSIP_KEY in archive.members:
        yield _gossip_key(archive)
    ca = None
    if CA in archive.members:
        try:
            ca = read_ca(archive.member(CA).bytes)
        except ReconcilerError as error:
            yield Check("ca", "failed", f"{CA} {error}", "get an archive that service-discover wrote")
    if ca is not None:
        yield from _ca(ca, now, warn_before)
        if CA_KEY in archive.members:
            yield _ca_key(ca, archive)
    if ACL_TOKEN in archive.members:
        yield from _live(archive, ca, settings)


def _members(archive: Archive) -> Check:
    missing = archive.missing()
    if missing:
        return Check("members", "failed", f"the archive lacks {', '.join(missing)}", "set-up of further nodes needs all four: get a whole archive")
    return Check("members", "passed", f"the archive has all {len(MEMBERS)} members")


def _gossip_key(archive: Archive) -> Check:
    if is_gossip_key(archive.member(GOSSIP_KEY).bytes):
        return Check("gossip-key", "passed", "the gossip key has the right form")
    return Check("gossip-key", "failed", "the gossip key is not 16, 24 or 32 bytes in base64", "get an archive that service-discover wrote")


def is_gossip_key(text: bytes) -> bool:
    """Whether Consul would take it for ``encrypt``."""
    try:
        return len(base64.b64decode(text, validate=True)) in GOSSIP_KEY_BYTES
    except binascii.Error:
        return False


def _ca(ca: CaCertificate, now: datetime, warn_before: timedelta) -> Iterator[Check]:
    if not ca.is_ca:
        yield Check("ca", "failed", f"the certificate of {ca.subject} is none of a CA", "get an archive that service-discover wrote")
        return
    yield Check("ca", "passed", f"the CA certificate is that of {ca.subject}")
    day = f"{ca.not_after:%Y-%m-%d}"
    renew = "make new credentials for the mesh (reconciler credentials regenerate)"
    if ca.not_after <= now:
        yield Check("ca-expiry", "failed", f"the CA certificate expired on {day}", renew)
    elif ca.not_before > now:
        yield Check("ca-expiry", "failed", f"the CA certificate is valid from {ca.not_before:%Y-%m-%d} on only", "see whether the clock is right")
    elif ca.not_after - now < warn_before:
        yield Check("ca-expiry", "warning", f"the CA certificate expires on {day}, in {(ca.not_after - now).days} days", renew)
    else:
        yield Check("ca-expiry", "passed", f"the CA certificate is valid until {day}")


def _ca_key(ca: CaCertificate, archive: Archive) -> Check:
    try:
        fits = key_fits(ca, archive.member(CA_KEY).bytes)
    except ReconcilerError as error:
        return Check("ca-key", "failed", f"{CA_KEY} {error}", "get an archive that service-discover wrote")
    if fits:
        return Check("ca-key", "passed", "the CA key fits the CA certificate")
    return Check("ca-key", "failed", "the CA key is that of another certificate", "get the archive in which both are of one CA")


def _live(archive: Archive, ca: CaCertificate | None, settings: ConsulSettings) -> Iterator[Check]:
    try:
        secret = fit_for_a_header(archive.secret_id(), "the archive")
    except ReconcilerError as error:
        yield Check("token", "failed", str(error), "get an archive that service-discover wrote")
        return
    with Consul(replace(settings, token=secret, token_from="the archive")) as consul:  # noqa: S106  # where it is from, not what it is
        yield from _token(consul)
        if ca is not None:
            yield _agents(ca, consul)


def _token(consul: Consul) -> Iterator[Check]:
    where = f"Consul at {consul.settings.address}"
    try:
        token = consul.self_token()
    except UnknownToken:
        lost = f"an archive of an older bootstrap, or of another cluster: get the newest one, or {MAKE_ANOTHER}"
        yield Check("token", "failed", f"{where} does not know the token", lost)
        return
    except SystemFault as fault:
        yield _failed("token", f"the token could not be tried: {fault}")
        return
    if token is None:
        yield Check("token", "failed", f"{where} has its ACLs switched off", "enable them (acl { enabled = true })")
        return
    yield Check("token", "passed", f"{where} accepts the token ({token['AccessorID']})")
    if any(policy["ID"] == GLOBAL_MANAGEMENT for policy in token.get("ExpandedPolicies") or token.get("Policies") or ()):
        yield Check("management", "passed", "the token has the policy global-management")
    else:
        yield Check("management", "failed", "the token has not the policy global-management", f"give it that policy, or {MAKE_ANOTHER}")


def _agents(ca: CaCertificate, consul: Consul) -> Check:
    der = agent_certificate(consul)
    if der is None:
        return Check("agents", "unknown", "whether the agents use this CA was not checked: the agent shows no certificate to this machine")
    if was_issued_by(ca, der):
        return Check("agents", "passed", "the agent's certificate was issued by this CA")
    return Check("agents", "failed", "the agent's certificate was issued by another CA", "get the archive that this mesh was set up with")

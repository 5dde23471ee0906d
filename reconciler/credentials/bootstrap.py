"""The first credentials of a cluster: bootstrap its ACLs and write the archive.

Consul allows it once, so all that could fail is done before: the archive's parts are read and checked, and the archive is written, with a secret that
is chosen here, under a name of its own. Only then is Consul asked to make a token of that secret. Whatever breaks off, from the first request on the
token is on disk, encrypted, and running the same again goes on.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from reconciler.credentials.archive import ACL_TOKEN, CA, CA_KEY, GOSSIP_KEY, Archive, Member
from reconciler.credentials.certificates import key_fits, read_ca
from reconciler.credentials.checks import is_gossip_key
from reconciler.credentials.opening import open_archive, read_bounded, seal, within
from reconciler.model.errors import Incomplete, OutcomeUnknown, ReconcilerError, Refused, SystemFault
from reconciler.model.secret import Secret
from reconciler.systems.consul.acl_bootstrap import BootstrappedBefore, bootstrap_acls, known_token
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.host import FileState, LocalHost

_FIELDS: Final = ("CreateIndex", "ModifyIndex", "AccessorID", "SecretID", "Description", "Policies", "Local", "CreateTime", "Hash")
"""Of a token, in the order in which ``consul acl bootstrap -format json`` writes them."""

_LARGEST_PART_BYTES: Final = 1 << 16
_MODE: Final = "0600"


@dataclass(frozen=True, slots=True)
class Materials:
    """What an archive holds besides the token; each is as it will be in there."""

    gossip_key: Secret
    ca: bytes
    ca_key: Secret

    def archive(self, token: dict[str, Any]) -> Archive:
        """The archive with this token, whose ``SecretID`` is a Secret."""
        body = {name: token[name] for name in _FIELDS if name in token}
        text = json.dumps({**body, "SecretID": body["SecretID"].reveal()}, indent=4) + "\n"
        encoded = (self.gossip_key.reveal().encode(), text.encode(), self.ca, self.ca_key.reveal().encode())
        return Archive.of(dict(zip((GOSSIP_KEY, ACL_TOKEN, CA, CA_KEY), encoded, strict=True)))


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What was made. ``resumed``: an earlier run had been interrupted, and this one finished it."""

    accessor: str
    resumed: bool


class NotWritten(Incomplete):
    """The cluster has its token, and the archive could not be put in its place. ``secret`` is for the eyes of whoever sits at the terminal."""

    def __init__(self, message: str, secret: Secret) -> None:
        super().__init__(message)
        self.secret = secret


def read_materials(ca: Path, ca_key: Path | Member, gossip_key: Path | None, configuration: Path) -> Materials:
    """The parts of an archive from files, the CA's key perhaps from another archive; without ``gossip_key`` it is ``encrypt`` of an agent's
    ``configuration`` in JSON.

    Raises ReconcilerError, with the option to give, for what is not there or does not fit together.
    """
    certificate = _part(ca, "the CA certificate", "--ca")
    key = ca_key.bytes if isinstance(ca_key, Member) else _part(ca_key, "the CA's key", "--ca-key")
    try:
        authority = read_ca(certificate)
    except ReconcilerError as error:
        raise ReconcilerError(f"{ca} {error}: give the CA certificate with --ca") from None
    if not authority.is_ca:
        raise ReconcilerError(f"{ca} is the certificate of {authority.subject}, which is no CA: give the CA certificate with --ca")
    key_name = "the key in the archive" if isinstance(ca_key, Member) else str(ca_key)
    try:
        fits = key_fits(authority, key)
    except ReconcilerError as error:
        raise ReconcilerError(f"{key_name} {error}: give the CA's key with --ca-key") from None
    if not fits:
        raise ReconcilerError(f"{key_name} is not the key of {ca}: give both of one CA with --ca and --ca-key")
    gossip = _part(gossip_key, "the gossip key", "--gossip-key").strip() if gossip_key else _encrypt_of(configuration)
    if not is_gossip_key(gossip):
        raise ReconcilerError(f"the gossip key in {gossip_key or configuration} is not 16, 24 or 32 bytes in base64: give it with --gossip-key")
    return Materials(Secret(gossip.decode()), certificate, Secret(key.decode("utf-8", "surrogateescape")))


def _part(path: Path, what: str, option: str) -> bytes:
    try:
        return read_bounded(path, _LARGEST_PART_BYTES, what)
    except ReconcilerError as error:
        raise ReconcilerError(f"{error}; say with {option} where it is") from None


def _encrypt_of(configuration: Path) -> bytes:
    content = _part(configuration, "the gossip key is looked for in the agent's configuration, which", "--gossip-key")
    try:
        key = json.loads(content).get("encrypt")
    except (ValueError, AttributeError):
        key = None
    if not isinstance(key, str):
        raise ReconcilerError(f"{configuration} has no gossip key (encrypt): give it with --gossip-key")
    return key.encode("utf-8", "replace")


def refuse_existing(target: Path, *, force: bool) -> FileState | None:
    """What is to be replaced, None for nothing. Raises Refused when there is an archive and it was not said that it may be replaced, ReconcilerError
    when there is something else.
    """
    seen = LocalHost().read([str(target)]).get(str(target))
    if seen is not None and seen.special:
        raise ReconcilerError(f"{target} exists and is no plain file: give another path")
    if seen is not None and not force:
        raise Refused(f"{target} exists: another archive would take its place: give another path, or --force if it is of no use any more")
    return seen


def pending(target: Path) -> Path:
    """Where the archive is until the cluster has its token."""
    return target.with_name(f"{target.name}.bootstrapping")


def finished(target: Path, password: Secret) -> str | None:
    """Finish a run that was cut off when it had written the archive and had only to remove :func:`pending`: the accessor of the token in it.

    None where there is no such run. Raises ReconcilerError when what is pending cannot be opened.
    """
    waiting = pending(target)
    if not waiting.exists() or not target.is_file():
        return None
    secret = within(waiting, open_archive(waiting, password))
    try:
        token = open_archive(target, password).token()
    except ReconcilerError:
        return None  # one that is to be replaced, with a password of its own
    if token["SecretID"] != secret:
        return None
    LocalHost().remove(str(waiting))
    return str(token.get("AccessorID", ""))


def bootstrap(
    settings: ConsulSettings, materials: Materials, target: Path, password: Secret, notice: Callable[[str], None],
    *, seen: FileState | None, allowed: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Bootstrapped:  # fmt: skip
    """Bootstrap the ACLs of a cluster and write its archive. ``notice`` is told that an interrupted run is gone on with.

    ``seen`` is the file that the archive replaces, as it was when that was said, None for none. ``allowed`` is entered right before Consul is asked,
    and left when it has answered. Raises BootstrappedBefore, and NotWritten when the token was made and only the archive is missing; else whatever
    went wrong, with nothing changed.
    """
    host, waiting = LocalHost(), pending(target)
    with Consul(with_token(settings, None)) as consul:
        consul.identity()
        resumed = waiting.exists()
        if resumed:
            notice(f"an earlier run was interrupted: going on with the token in {waiting}")
            secret = within(waiting, open_archive(waiting, password))
            token = accepted(settings, secret)
        else:
            secret, token = Secret(str(uuid.uuid4())), None
            sealed = seal(materials.archive({"SecretID": secret}), password)
            host.write(str(waiting), sealed, owner=None, group=None, mode=_MODE, exclusive=True)
        if token is None:
            with allowed():
                token = _token(consul, secret, waiting, notice, resumed=resumed)
    try:
        content = seal(materials.archive({**token, "SecretID": secret}), password)
        replacing = seen.witness if seen is not None else None
        host.write(str(target), content, owner=None, group=None, mode=_MODE, exclusive=seen is None, replacing=replacing)
    except (SystemFault, OSError) as error:
        kept = f"the token is in {waiting}, encrypted: make room for the archive and run the same again, which finishes it"
        raise NotWritten(f"the ACLs are bootstrapped, but {target} could not be written: {error}: {kept}", secret) from None
    with suppress(SystemFault):
        host.remove(str(waiting))
    return Bootstrapped(str(token["AccessorID"]), resumed)


def _token(consul: Consul, secret: Secret, waiting: Path, notice: Callable[[str], None], *, resumed: bool) -> dict[str, Any]:
    """The token with this secret: made now, or by a request whose answer nobody saw. What is in ``waiting`` is removed only where none can be."""
    try:
        made: dict[str, Any] = bootstrap_acls(consul, secret)
    except SystemFault as fault:
        try:
            # a refusal alone does not tell: the server may have broken off after it had made it
            found = accepted(consul.settings, secret)
        except SystemFault:
            notice(f"whether there is a token now is not known: its secret stays in {waiting}, encrypted, and the next run goes on with it")
            raise fault from None
        if found is not None:
            return found
        if resumed and isinstance(fault, BootstrappedBefore):
            raise ReconcilerError(f"{fault}; Consul does not accept the token in {waiting} either: remove that file") from None
        if not resumed and not isinstance(fault, OutcomeUnknown):
            LocalHost().remove(str(waiting))
        raise
    return made


def accepted(settings: ConsulSettings, secret: Secret) -> dict[str, Any] | None:
    """The token with this secret, as Consul has it; None where it says that there is none. Raises a SystemFault where it cannot be asked."""
    with Consul(with_token(settings, secret)) as consul:
        return known_token(consul)


def with_token(settings: ConsulSettings, token: Secret | None) -> ConsulSettings:
    """The same connection with another token, or none."""
    return replace(settings, token=token, token_from="")

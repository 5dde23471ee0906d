"""Other nodes of the mesh are set up again with the archive that lies here: after ``credentials regenerate``, or by themselves."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.cli.approval import can_ask
from reconciler.cli.machines import nodes_of, of_manifest
from reconciler.cli.streams import emit, say
from reconciler.model.errors import Incomplete, Interrupted, ReconcilerError, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.cli.archive_options import ArchiveChoice
    from reconciler.credentials.regeneration.others import Other, Renewal
    from reconciler.engine.connections import Connections
    from reconciler.model.secret import Secret
    from reconciler.systems.consul.connection import ConsulSettings


def others_of(connections: Connections) -> list[Other]:
    """The nodes of the manifest that are not this machine. Raises a SystemFault for one that cannot be reached."""
    from reconciler.credentials.regeneration.others import Other, elsewhere

    return elsewhere([Other(label, connections.host(node.host), node.address) for label, node in nodes_of(connections)])


def ask_for_the_name(name: str, *, yes: bool) -> None:
    """Whoever sits at the terminal types the cluster's name, or nothing is begun. Raises ReconcilerError."""
    if yes:
        return
    if not can_ask():
        raise ReconcilerError("there is no terminal to ask on, and nothing was changed: give --yes if all this is wanted")
    sys.stderr.write(f"This is {socket.gethostname()}. To begin, type the cluster's name, {name}: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != name:
        raise ReconcilerError(f"that is not the cluster's name, {name}: nothing was changed")


def set_up_again(chosen: ArchiveChoice, settings: ConsulSettings, files: tuple[str, ...], *, yes: bool, dry_run: bool) -> None:
    """Set up again the nodes of a manifest but this one, with the archive that lies here; the next run goes on where this one was stopped.

    Raises Incomplete when it was begun and did not come to its end; otherwise nothing was changed.
    """
    from reconciler.credentials.opening import read_sealed
    from reconciler.credentials.regeneration import journal as journals
    from reconciler.credentials.regeneration import others as renewing
    from reconciler.credentials.sources import digest_of
    from reconciler.report import distribution as report

    archive = chosen.path.absolute()
    sealed = read_sealed(archive)
    with of_manifest(files) as connections, journals.alone(archive):
        if journals.path_of(archive).exists():
            raise ReconcilerError("an interrupted run of credentials regenerate is to be finished first: run that again")
        others = others_of(connections)
        before = renewing.read(archive)
        renewal = renewing.planned(others, before.with_archive(digest_of(sealed)))
        cluster = _cluster(settings, others, renewal)
        text = report.set_up_again_text(cluster, archive, renewing.among(renewal, others))
        if dry_run:
            emit(f"{text}\nNothing was changed.\n")
            return
        say(text)
        ask_for_the_name(cluster, yes=yes)
        password = chosen.password()
        connections.use_token(_token(chosen, settings, sealed, password), str(archive))
        try:
            renewal = renewing.renew(others, archive, renewal, password, say)
        except ReconcilerError as failure:
            raise Incomplete(f"{failure}: this is not finished: when that is put right, run the same again, it goes on") from failure
        except KeyboardInterrupt:
            raise Interrupted("interrupted: this is not finished: run the same again, it goes on") from None
        emit(report.was_set_up_text([other.label for other in others], renewal.left))


def _cluster(settings: ConsulSettings, others: Sequence[Other], renewal: Renewal) -> str:
    """The cluster's name. Raises Refused when one of the nodes leads it: without it there may be nothing that the others could join."""
    from reconciler.credentials.members import look
    from reconciler.systems.consul.client import Consul
    from reconciler.systems.consul.leader import leader

    with Consul(replace(settings, token=None, token_from="")) as consul:
        name, host = consul.identity().datacenter, leader(consul).host
    for other in others:
        if host in (renewal.nodes[other.host.identity].address, *look(other.host).addresses):
            raise Refused(f"{other.label} leads the cluster {name} ({host}), and the others join it: run this on it, or leave it out of the manifest")
    return name


def _token(chosen: ArchiveChoice, settings: ConsulSettings, sealed: bytes, password: Secret) -> Secret:
    """The archive's token. Raises ReconcilerError when the archive is not that of the mesh, or set-up could not be told its password."""
    from reconciler.credentials.joining import demand_typable
    from reconciler.credentials.opening import unseal, within
    from reconciler.credentials.regeneration.old_tokens import proved

    demand_typable(str(chosen.path), password)
    secret = within(chosen.path, unseal(sealed, password, chosen.path))
    proved(replace(settings, token=None, token_from=""), secret)
    return secret

"""``reconciler credentials regenerate``: when the credentials of a cluster are lost, or known to somebody else."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.archive_options import ArchiveChoice, consul_of_the_environment, takes_archive
from reconciler.cli.machines import of_manifest, takes_nodes
from reconciler.cli.options import Choices, takes_choices
from reconciler.cli.renewing import ask_for_the_name, others_of
from reconciler.cli.streams import emit, is_terminal, say
from reconciler.model.errors import Incomplete, Interrupted, ReconcilerError, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.credentials.bootstrap import Materials
    from reconciler.credentials.regeneration.journal import Journal, Way
    from reconciler.credentials.regeneration.others import Other, Renewal
    from reconciler.credentials.regeneration.place import Place
    from reconciler.engine.connections import Connections
    from reconciler.model.secret import Secret
    from reconciler.systems.consul.connection import ConsulSettings

_PATH: Final = click.Path(path_type=Path, readable=False)


@dataclass(frozen=True, slots=True)
class _Run:
    """What the command line says. ``parts``: --ca, --ca-key, --gossip-key and --old-password-file, None where not given.

    ``others`` are the other nodes of the mesh that are set up again, ``connections`` those to them; None where there are none.
    """

    way: Way
    chosen: ArchiveChoice
    place: Place
    settings: ConsulSettings
    parts: dict[str, Path | None]
    revoke: bool
    yes: bool
    no_majority: bool
    others: Sequence[Other] = ()
    connections: Connections | None = None


@click.command(
    "regenerate",
    short_help="Make new credentials when the old ones are lost.",
    epilog="""\b
Examples:
  reconciler credentials regenerate --dry-run
  reconciler credentials regenerate --acl-only
  reconciler credentials regenerate --revoke-old""",
)
@takes_archive
@click.option("--acl-only", is_flag=True, help="Only a new token, around which the archive is written anew. The mesh stays up.")
@click.option("--revoke-old", is_flag=True, help="Delete the older tokens that may do everything, once the new one has proved itself.")
@click.option("--dry-run", is_flag=True, help="Show the steps, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for the cluster's name.")
@click.option("--allow-no-majority", is_flag=True, help="Without --acl-only: do it although the cluster has other servers.")
@click.option("--data-dir", type=_PATH, metavar="DIR", help="Consul's data folder.  [default: /var/lib/service-discover/data]")
@click.option("--config-dir", type=_PATH, metavar="DIR", help="With main.json and config.json.  [default: /etc/zextras/service-discover]")
@click.option("--home-dir", type=_PATH, metavar="DIR", help="With the certificates.  [default: /var/lib/service-discover]")
@click.option("--user", metavar="NAME", help="Who runs Consul.  [default: service-discover]")
@click.option("--unit", metavar="NAME", help="Its systemd unit.  [default: service-discover]")
@click.option("--ca", type=_PATH, metavar="FILE", help="With --acl-only: the CA certificate.  [default: that in --home-dir]")
@click.option("--ca-key", type=_PATH, metavar="FILE", help="Its key.  [default: that in --home-dir, else in the old archive]")
@click.option("--gossip-key", type=_PATH, metavar="FILE", help="The gossip key.  [default: encrypt in main.json]")
@click.option("--old-password-file", type=_PATH, metavar="FILE", help="The old archive's password, where the CA's key is only in there.")
@takes_nodes
@takes_choices("timeout")
def command(
    choices: Choices, *, chosen: ArchiveChoice, acl_only: bool, revoke_old: bool, dry_run: bool, yes: bool, allow_no_majority: bool,
    files: tuple[str, ...], **more: Any,
) -> None:  # fmt: skip
    """When the password of the cluster credentials is lost, or somebody else has them: make new ones. Run it on the leader; elsewhere it refuses
    and says which machine that is.

    Without options it does what Carbonio's documents do: reset the ACL bootstrap, stop service-discover, remove its configuration and
    certificates, and set the first instance up again. THE MESH IS DOWN MEANWHILE, and every other node must be set up again after it. With
    --acl-only the mesh stays up, and only the management token and the archive are new: enough when a password or a token was lost.

    With --nodes the other nodes that a manifest declares are set up again afterwards, one after the other, over SSH. The first one that does not come
    back as a member ends the run.

    The password is that of the new archive. An interrupted run is finished by running the same again.
    """
    from reconciler.credentials.regeneration.place import Place

    given = {name: more.pop(name) for name in ("data_dir", "config_dir", "home_dir", "user", "unit")}
    names = {"data_dir": "data", "config_dir": "configuration", "home_dir": "home"}
    place = Place(**{names.get(name, name): value for name, value in given.items() if value is not None})
    if not acl_only and any(more.values()):
        option = next(name for name, value in more.items() if value).replace("_", "-")
        raise click.UsageError(f"--{option} goes with --acl-only: otherwise all of it is made anew.", click.get_current_context())
    if acl_only and files:
        raise click.UsageError("--nodes goes without --acl-only, after which no node has to be set up again.", click.get_current_context())
    settings = consul_of_the_environment(choices.timeout_s)
    chosen = replace(chosen, path=chosen.path.absolute())
    run = _Run("acl-only" if acl_only else "whole", chosen, place, settings, more, revoke_old, yes, allow_no_majority)
    with of_manifest(files) if files else nullcontext() as connections:
        others = others_of(connections) if connections is not None else []
        _regenerate(replace(run, others=others, connections=connections), dry_run=dry_run)


def _regenerate(run: _Run, *, dry_run: bool) -> None:
    from reconciler.credentials.regeneration import journal as journals
    from reconciler.credentials.regeneration import others
    from reconciler.report import regeneration as report

    archive = run.chosen.path
    run.place.demand_usable(whole=run.way == "whole")
    if not archive.parent.is_dir():
        raise ReconcilerError(f"the folder {archive.parent} does not exist: create it, or give another ARCHIVE")
    with nullcontext(-1) if dry_run else journals.alone(archive) as held:
        found = journals.read(archive, run.way)
        journal, index, servers = (found, None, found.servers) if found else _new(run)
        before = others.read(archive)
        renewal = others.planned(run.others, before if found else before.with_archive(""))
        text = report.steps_text(
            run.way, journal.cluster, journal.leader, index, archive, run.place, journal.done, servers=servers, revoke=run.revoke,
            nodes=others.among(renewal, run.others),
        )  # fmt: skip
        if dry_run:
            emit(f"{text}\nNothing was changed.\n")
            return
        say(text)
        if found:
            say("An earlier run was interrupted; this one goes on with it.")
        elif servers > 1 and run.way == "whole" and not run.no_majority:
            raise Refused(f"the cluster has {servers} servers, and with another CA this one alone is no majority of them: give --acl-only")
        ask_for_the_name(journal.cluster, yes=run.yes)
        password = _password(run, known="set-up" in journal.done or "bootstrap" in journal.done)
        _work(run, journal, renewal, password, held)


def _new(run: _Run) -> tuple[Journal, int | None, int]:
    """The journal of a run that begins, the reset index, and how many servers there are. Nothing is changed."""
    from reconciler.credentials import bootstrap as making
    from reconciler.credentials.regeneration import journal as journals
    from reconciler.credentials.regeneration.leadership import demand_leader
    from reconciler.systems.consul.acl_bootstrap import reset_index
    from reconciler.systems.consul.client import Consul

    waiting = making.pending(run.chosen.path)
    if waiting.exists():
        finish = "finish that (reconciler credentials bootstrap), or remove the file if nothing of it is wanted"
        raise ReconcilerError(f"{waiting} is left of an interrupted bootstrap: {finish}")
    cluster = demand_leader(run.settings, run.place)
    index = None
    # To ask takes such a file away, if it is right: it is asked again when it is written.
    if not run.place.reset_file.exists():
        with Consul(making.with_token(run.settings, None)) as consul:
            index = reset_index(consul)
    return journals.begun(run.chosen.path, run.way, cluster), index, cluster.servers


def _password(run: _Run, *, known: bool) -> Secret:
    from reconciler.systems.dialogue import can_be_typed

    chosen = replace(run.chosen, left_by_set_up=False)
    password = chosen.password() if known else chosen.new_password()
    if run.way == "whole" and not can_be_typed(password):
        raise ReconcilerError("the password has a control character, which cannot be typed on the terminal of service-discover: choose another")
    return password


def _work(run: _Run, journal: Journal, renewal: Renewal, password: Secret, held: int) -> None:
    from reconciler.credentials.bootstrap import NotWritten
    from reconciler.credentials.regeneration import journal as journals
    from reconciler.credentials.regeneration import others
    from reconciler.credentials.regeneration.old_tokens import old_tokens, revoke
    from reconciler.credentials.regeneration.steps import Regeneration
    from reconciler.report import regeneration as report

    archive = run.chosen.path
    materials = partial(_materials, run, password)
    resumed = journals.path_of(archive).exists()
    if run.way == "acl-only" and not resumed:
        materials()  # what is not there is found before anything is changed
    making = Regeneration(run.way, archive, run.place, run.settings, password, materials, say)
    if run.way == "whole":
        others.written(archive, renewal)  # their addresses, which they will not know any more
    try:
        token, secret = making.run(journal, held, resumed=resumed)
        older = old_tokens(run.settings, secret, token)
        if run.revoke:
            revoke(run.settings, secret, older, say)
        renewal = renewal.with_archive(journals.digest(archive))
        if run.connections is not None:
            run.connections.use_token(secret, str(archive))  # for the agents of the other nodes
            renewal = others.renew(run.others, archive, renewal, password, say)
    except NotWritten as failure:
        if is_terminal(sys.stderr):
            say(f"The token is shown this once, keep it somewhere safe: {failure.secret.reveal()}")
        raise
    except ReconcilerError as failure:
        unfinished = f"this is not finished: when that is put right, run the same again, it goes on{_allows_another(run.place)}"
        raise Incomplete(f"{failure}: {unfinished}") from failure
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: this is not finished: run the same again, it goes on{_allows_another(run.place)}") from None
    making.ended()
    again = {"nodes": [other.label for other in run.others], "left": renewal.left}
    emit(report.end_text(run.way, journal.cluster, str(token["AccessorID"]), archive, run.place, servers=journal.servers, **again))
    emit(report.old_tokens_text(older, revoked=run.revoke))
    if run.way == "acl-only" and _left_by_set_up(run.place) not in (None, password.reveal()):
        still = "still holds the password of the old archive, with which this node does not open the new one"
        emit(f"{run.place.password_file} {still}: write the new password there, or remove the file.\n")


def _allows_another(place: Place) -> str:
    """What is to be known while the reset file is there: Consul is stopped, and started again it asks nobody for a token who makes one."""
    what = "when Consul is started as it is now, whoever reaches it can make a token that may do everything"
    return f"; until then {place.reset_file} is there: {what}" if place.reset_file.exists() else ""


def _materials(run: _Run, password: Secret) -> Materials:
    """The parts that stay: from files, and the CA's key from the old archive where this node has none."""
    from reconciler.credentials.archive import CA, CA_KEY, Member
    from reconciler.credentials.bootstrap import read_materials
    from reconciler.credentials.opening import open_archive

    parts, archive = run.parts, run.chosen.path
    key: Path | Member = parts["ca_key"] or run.place.home / Path(CA_KEY).name
    if isinstance(key, Path) and not key.exists() and parts["ca_key"] is None:
        old = replace(run.chosen, password_file=parts["old_password_file"]).password() if parts["old_password_file"] else password
        try:
            key = open_archive(archive, old).member(CA_KEY)
        except ReconcilerError as error:
            where = "say with --ca-key where the CA's key is, or give the old archive's password with --old-password-file"
            raise ReconcilerError(f"the CA's key is not in {run.place.home}, and {error}: {where}") from None
    return read_materials(parts["ca"] or run.place.home / Path(CA).name, key, parts["gossip_key"], run.place.main)


def _left_by_set_up(place: Place) -> str | None:
    if not os.access(place.password_file, os.R_OK):
        return None
    return place.password_file.read_text("utf-8", "surrogateescape").removesuffix("\n")

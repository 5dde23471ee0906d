"""``reconciler credentials``: the cluster credentials archive."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.archive_options import ArchiveChoice, consul_of_the_environment, takes_archive
from reconciler.cli.distribute import command as distribute
from reconciler.cli.options import Choices, takes_choices
from reconciler.cli.regenerate import command as regenerate
from reconciler.cli.streams import emit, is_terminal, paint_for, say, warn
from reconciler.credentials import node
from reconciler.model.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.credentials.archive import Archive
    from reconciler.systems.consul.connection import ConsulSettings

_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
_PART: Final = click.Path(path_type=Path, readable=False)


@click.group("credentials")
def command() -> None:
    """Look at, check and make the cluster credentials of a mesh.

    ARCHIVE is the encrypted cluster-credentials.tar.gpg, by default that of this node in /etc/zextras/service-discover. Its password comes from an
    option, or for this node's archive from the file that set-up left in /var/lib/service-discover, or is asked for. Nothing of the content is ever
    written to disk.
    """


command.add_command(regenerate)
command.add_command(distribute)


@command.command(
    "show",
    short_help="Show what an archive holds, without its secrets.",
    epilog="\b\nExamples:\n  reconciler credentials show\n  reconciler credentials show --password-file pw cluster-credentials.tar.gpg",
)
@takes_archive
@_JSON
def show(*, chosen: ArchiveChoice, as_json: bool) -> None:
    """Show the members of an archive with their sizes, and subject, issuer and expiry of the CA. No secret is shown."""
    from reconciler.report import credentials as report

    archive = chosen.open()
    document = report.archive_document(str(chosen.path), archive, _ca(archive))
    emit(json.dumps(document, indent=2) + "\n" if as_json else report.archive_text(document))


@command.command(
    "verify",
    short_help="Check an archive against itself and the live Consul.",
    epilog="""\b
Examples:
  reconciler credentials verify
  reconciler credentials verify --warn-days 180 --password-file pw cluster-credentials.tar.gpg""",
)
@takes_archive
@click.option(
    "--warn-days", type=click.IntRange(0, 36500), default=90, show_default=True, metavar="N", help="Warn when the CA expires within so many days."
)
@_JSON
@takes_choices("timeout")
def verify(choices: Choices, *, chosen: ArchiveChoice, warn_days: int, as_json: bool) -> int:
    """Check that the password opens the archive, that the live Consul accepts the token and that it may do everything, that the CA's key fits its
    certificate, that the agents use this CA when their certificate can be seen, and that it does not expire soon.

    Consul is found by the environment, as by the consul command (CONSUL_HTTP_ADDR, CONSUL_CACERT …); the token is the archive's. Exits with 1 when
    a check fails; a warning does not.
    """
    from reconciler.credentials import checks
    from reconciler.report import credentials as report

    settings = consul_of_the_environment(choices.timeout_s)
    archive, done = checks.opened(chosen.open)
    if archive is not None:
        done += checks.verify(archive, settings, datetime.now(UTC), timedelta(days=warn_days))
    emit(
        json.dumps(report.checks_document(str(chosen.path), done), indent=2) + "\n"
        if as_json
        else report.checks_text(str(chosen.path), done, paint_for("auto", sys.stdout))
    )
    return 1 if any(check.result == "failed" for check in done) else 0


@command.command(
    "token",
    short_help="Print the bootstrap token of an archive.",
    epilog="""\b
Example:
  CONSUL_HTTP_TOKEN=$(reconciler credentials token) consul members""",
)
@takes_archive
@click.option("--json", "as_json", is_flag=True, help='Write {"token": "…"}.')
def token(*, chosen: ArchiveChoice, as_json: bool) -> None:
    """Print the SecretID of the bootstrap token, without a newline, as service-discover bootstrap-token does.

    It may do everything in Consul: let it go into a variable, and not onto a screen or into a log. A manifest takes it from the archive itself,
    with consul.token: {bootstrap_token: {file: PATH, password: …}}.
    """
    from reconciler.credentials.opening import within

    secret = within(chosen.path, chosen.open())
    emit(json.dumps({"token": secret.reveal()}) + "\n" if as_json else secret.reveal())


@command.command(
    "bootstrap",
    short_help="Bootstrap the ACLs of a new cluster and write its archive.",
    epilog="""\b
Examples:
  reconciler credentials bootstrap
  reconciler credentials bootstrap --ca ca.pem --ca-key ca-key.pem --gossip-key gossip --password-file pw cluster-credentials.tar.gpg""",
)
@takes_archive
@click.option("--ca", type=_PART, metavar="FILE", help=f"The CA certificate of the agents.  [default: {node.CA}]")
@click.option("--ca-key", type=_PART, metavar="FILE", help=f"Its key.  [default: {node.CA_KEY}]")
@click.option("--gossip-key", type=_PART, metavar="FILE", help=f"The gossip key in base64.  [default: encrypt in {node.CONFIGURATION}]")
@click.option("--force", is_flag=True, help="Replace an archive that is there already.")
@takes_choices("timeout")
def bootstrap(
    choices: Choices, *, chosen: ArchiveChoice, ca: Path | None, ca_key: Path | None, gossip_key: Path | None, force: bool
) -> None:  # fmt: skip
    """On a cluster whose ACLs were never bootstrapped, make the token that may do everything, and write the archive, such that service-discover
    and gpg open it.

    Everything that could fail is checked before. From the moment that Consul is asked, the token is on disk, encrypted, in
    ARCHIVE.bootstrapping: an interrupted run is finished by running the same again. Consul is found by the environment (CONSUL_HTTP_ADDR …).
    """
    from reconciler.credentials.regeneration.journal import alone

    settings, target = consul_of_the_environment(choices.timeout_s), chosen.path.absolute()
    with alone(target):
        accessor = _bootstrapped(settings, target, chosen, {"ca": ca, "ca_key": ca_key, "gossip_key": gossip_key}, force=force)
    emit(f"The ACLs of Consul at {settings.address} are bootstrapped: token {accessor}. Its secret is in {target}.\n")


def _bootstrapped(settings: ConsulSettings, target: Path, chosen: ArchiveChoice, parts: dict[str, Path | None], *, force: bool) -> str:
    """The accessor of the token: made now, or by a run that was cut off when all but the last was done."""
    from reconciler.credentials import bootstrap as making

    waits, password = making.pending(target).exists(), None
    if waits and target.is_file():
        password = chosen.password()
        accessor = making.finished(target, password)
        if accessor is not None:
            return accessor
    seen = making.refuse_existing(target, force=force)
    materials = making.read_materials(parts["ca"] or node.CA, parts["ca_key"] or node.CA_KEY, parts["gossip_key"], node.CONFIGURATION)
    try:
        return making.bootstrap(settings, materials, target, password or chosen.password(new=not waits), warn, seen=seen).accessor
    except making.NotWritten as failure:
        if is_terminal(sys.stderr):
            say(f"The token is shown this once, keep it somewhere safe: {failure.secret.reveal()}")
        raise


def _ca(archive: Archive) -> Any:
    from reconciler.credentials.archive import CA
    from reconciler.credentials.certificates import read_ca

    try:
        return read_ca(archive.member(CA).bytes)
    except ReconcilerError as error:
        return str(error)

"""``reconciler credentials distribute``: the archive on the other nodes of the mesh."""

from __future__ import annotations

import json
from pathlib import Path

import click

from reconciler.cli import renewing
from reconciler.cli.archive_options import ArchiveChoice, consul_of_the_environment, takes_archive
from reconciler.cli.machines import named, takes_nodes
from reconciler.cli.options import Choices, takes_choices
from reconciler.cli.streams import emit
from reconciler.credentials import node
from reconciler.model.errors import Incomplete, ReconcilerError


@click.command(
    "distribute",
    short_help="Copy the archive to the other nodes of the mesh.",
    epilog="""\b
Examples:
  reconciler credentials distribute --host root@mesh-2.example.com --host root@app-1.example.com
  reconciler credentials distribute --nodes carbonio.yaml --dry-run
  reconciler credentials distribute --nodes carbonio.yaml --set-up-again""",
)
@takes_archive
@click.option(
    "--host", "names", metavar="HOST", multiple=True,
    help="An SSH destination such as root@node.example.com, or local for this machine; with --nodes also a name of its hosts.",
)  # fmt: skip
@takes_nodes
@click.option("--sudo", is_flag=True, help="Act through sudo on SSH destinations; it must not ask for a password.")
@click.option("--to", "path", metavar="PATH", help=f"Where it is to be there.  [default: {node.ARCHIVE}]")
@click.option("--set-up-again", is_flag=True, help="With --nodes: set them up again with it, also those that are set up.")
@click.option("--yes", is_flag=True, help="With --set-up-again: do not ask for the cluster's name.")
@click.option("--dry-run", is_flag=True, help="Look at every machine, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@takes_choices("timeout")
def command(
    choices: Choices, *, chosen: ArchiveChoice, names: tuple[str, ...], files: tuple[str, ...], sudo: bool, path: str | None, set_up_again: bool,
    yes: bool, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Copy ARCHIVE to other machines, as it is, encrypted, for root alone (0600), and only where it differs. Its password is not needed.

    Each machine that is named gets it, or every node of the manifest in --nodes. One that fails does not keep it from the others; then the exit code
    is 3. Nothing is set up there: apply does that, for nodes of a manifest.

    With --set-up-again every node of the manifest but this machine is set up again with it, one after the other, as after new credentials: its
    certificates and its configuration are removed, and service-discover is asked to set it up. That takes the archive's password. The first one
    that does not come back as a member ends the run, and the same command goes on with it.
    """
    if set_up_again:
        if not files or names or sudo or path is not None or as_json:
            raise click.UsageError("--set-up-again goes with --nodes, and without --host, --sudo, --to and --json.", click.get_current_context())
        renewing.set_up_again(chosen, consul_of_the_environment(choices.timeout_s), files, yes=yes, dry_run=dry_run)
    else:
        _copy(chosen.path, names, files, sudo=sudo, path=path or str(node.ARCHIVE), dry_run=dry_run, as_json=as_json)


def _copy(source: Path, names: tuple[str, ...], files: tuple[str, ...], *, sudo: bool, path: str, dry_run: bool, as_json: bool) -> None:
    from reconciler.credentials.distribution import distribute
    from reconciler.credentials.opening import read_sealed
    from reconciler.report import distribution as report

    if not path.startswith("/"):
        raise click.BadParameter(f"{path!r} is no absolute path.", param_hint="--to")
    sealed = read_sealed(source)
    with named(names, files, sudo=sudo) as hosts:
        copies = distribute(hosts, sealed, path, dry_run=dry_run)
    emit(json.dumps(report.copies_document(str(source), path, copies), indent=2) + "\n" if as_json else report.copies_text(copies))
    failed = [copy for copy in copies if copy.result == "failed"]
    if failed:
        missed = "could not be looked at" if dry_run else "did not get the archive"
        raise (ReconcilerError if dry_run else Incomplete)(f"{len(failed)} of {len(copies)} machines {missed}: put that right, and run again")

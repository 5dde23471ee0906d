"""``reconciler credentials distribute``: the archive on the other nodes of the mesh."""

from __future__ import annotations

import json
from pathlib import Path

import click

from reconciler.cli.machines import named, takes_nodes
from reconciler.cli.streams import emit
from reconciler.credentials import node
from reconciler.model.errors import Incomplete, ReconcilerError


@click.command(
    "distribute",
    short_help="Copy the archive to the other nodes of the mesh.",
    epilog="""\b
Examples:
  reconciler credentials distribute --host root@mesh-2.example.com --host root@app-1.example.com
  reconciler credentials distribute --nodes carbonio.yaml --dry-run""",
)
@click.argument("archive", metavar="[ARCHIVE]", required=False, type=click.Path(path_type=Path, readable=False))
@click.option(
    "--host", "names", metavar="HOST", multiple=True,
    help="An SSH destination such as root@node.example.com, or local for this machine; with --nodes also a name of its hosts.",
)  # fmt: skip
@takes_nodes
@click.option("--sudo", is_flag=True, help="Act through sudo on SSH destinations; it must not ask for a password.")
@click.option("--to", "path", metavar="PATH", default=str(node.ARCHIVE), show_default=True, help="Where it is to be there.")
@click.option("--dry-run", is_flag=True, help="Look at every machine, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(
    *, archive: Path | None, names: tuple[str, ...], files: tuple[str, ...], sudo: bool, path: str, dry_run: bool, as_json: bool
) -> None:  # fmt: skip
    """Copy ARCHIVE to other machines, as it is, encrypted, for root alone (0600), and only where it differs. Its password is not needed.

    Each machine that is named gets it, or every node of the manifest in --nodes. One that fails does not keep it from the others; then the exit code
    is 3. Nothing is set up there: apply does that, for nodes of a manifest.
    """
    from reconciler.credentials.distribution import distribute
    from reconciler.credentials.opening import read_sealed
    from reconciler.report import distribution as report

    if not path.startswith("/"):
        raise click.BadParameter(f"{path!r} is no absolute path.", param_hint="--to")
    source = archive or node.ARCHIVE
    sealed = read_sealed(source)
    with named(names, files, sudo=sudo) as hosts:
        copies = distribute(hosts, sealed, path, dry_run=dry_run)
    emit(json.dumps(report.copies_document(str(source), path, copies), indent=2) + "\n" if as_json else report.copies_text(copies))
    failed = [copy for copy in copies if copy.result == "failed"]
    if failed:
        missed = "could not be looked at" if dry_run else "did not get the archive"
        raise (ReconcilerError if dry_run else Incomplete)(f"{len(failed)} of {len(copies)} machines {missed}: put that right, and run again")

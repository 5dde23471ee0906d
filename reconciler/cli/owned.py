"""``reconciler owned``: the ownership records."""

from __future__ import annotations

import json
import sys

import click

from reconciler.cli.connecting import connected
from reconciler.cli.interruption import Interruption
from reconciler.cli.options import Choices, Output, Target, takes_choices, takes_files_or_name, takes_looks
from reconciler.cli.streams import emit, paint_for
from reconciler.model.errors import ReconcilerError
from reconciler.model.record import Record

_FORMAT = click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What to write.")


@click.group("owned")
def command() -> None:
    """Look at, and correct, what is remembered of who made what."""


@command.command(
    "list",
    short_help="List the ownership records.",
    epilog="""\b
Examples:
  reconciler owned list                        # of every manifest; connection from the environment
  reconciler owned list carbonio.yaml
  reconciler owned list --name carbonio-files-db""",
)
@takes_files_or_name
@click.option("--all", "everyone", is_flag=True, help="Of every manifest, also when FILE is given.")
@_FORMAT
@takes_choices("timeout")
@takes_looks
def list_(target: Target, choices: Choices, output: Output, *, everyone: bool, output_format: str) -> None:
    """List the ownership records: address, manifest, state, origin, what removing the entry does."""
    anonymous = not target.files and target.name is None
    records = _records(_named(target), output, choices, owner_only=not (everyone or anonymous))
    from reconciler.report import ownership

    if output_format == "json":
        emit(_json([ownership.record_document(record) for record in records]))
    else:
        emit(ownership.table(records))


@command.command(
    "show", short_help="Show one ownership record.", epilog="\b\nExample:\n  reconciler owned show kv/carbonio-files/db-name carbonio.yaml"
)
@click.argument("address", metavar="ADDRESS")
@takes_files_or_name
@_FORMAT
@takes_choices("timeout")
@takes_looks
def show(target: Target, choices: Choices, output: Output, *, address: str, output_format: str) -> None:
    """Show one ownership record whole: origin, incarnation, what was last applied. Without FILE and --name: whoever owns it."""
    anonymous = not target.files and target.name is None
    found = [r for r in _records(_named(target), output, choices, owner_only=not anonymous) if address in (str(r.address), r.key)]
    if not found:
        raise ReconcilerError(f"{address} is not owned{'' if anonymous else ' by this manifest'}: see reconciler owned list")
    from reconciler.report import ownership

    if output_format == "json":
        emit(_json([ownership.record_document(record) for record in found]))
    else:
        emit("\n".join(ownership.record_text(record, paint_for(output.color, sys.stdout)) for record in found))


@command.command(
    "forget", short_help="Give up the ownership of one resource.", epilog="\b\nExample:\n  reconciler owned forget acl-policy/shared carbonio.yaml"
)
@click.argument("address", metavar="ADDRESS")
@takes_files_or_name
@takes_choices("lock_timeout", "timeout")
@takes_looks
def forget(target: Target, choices: Choices, output: Output, *, address: str) -> None:
    """Give up the ownership of one resource, which stays as it is.

    While its entry is in the manifest, the next apply adopts it again.
    """
    with Interruption() as interruption, connected(target, output, choices.timeout_s) as (connections, _):
        from reconciler.engine import operations

        record = operations.forget(connections, address, choices.options(), interruption.stop)
    emit(f"{record.address} is no longer owned by {record.owner}; it was left as it is.\n")


@command.command(
    "unprotect",
    short_help="Lift the protection of one resource.",
    epilog="\b\nExample:\n  reconciler owned unprotect database/default/files carbonio.yaml",
)
@click.argument("address", metavar="ADDRESS")
@takes_files_or_name
@takes_choices("lock_timeout", "timeout")
@takes_looks
def unprotect(target: Target, choices: Choices, output: Output, *, address: str) -> None:
    """Lift the protection of one resource, so that it may be deleted or replaced.

    For a resource whose entry is gone: while its entry says protect: true, the next apply protects it again.
    """
    with Interruption() as interruption, connected(target, output, choices.timeout_s) as (connections, _):
        from reconciler.engine import operations

        record = operations.unprotect(connections, address, choices.options(), interruption.stop)
    emit(f"{record.address} is no longer protected.\n")


def _named(target: Target) -> Target:
    """A target that has a name in any case: reading the records of all manifests takes none."""
    return target if target.files or target.name is not None else Target(name="all", connections=target.connections)


def _records(target: Target, output: Output, choices: Choices, *, owner_only: bool) -> list[Record]:
    with connected(target, output, choices.timeout_s) as (connections, _):
        from reconciler.engine import operations

        return operations.owned(connections, connections.loaded.name if owner_only else None)


def _json(records: list[object]) -> str:
    return json.dumps({"format_version": 1, "records": records}, indent=2) + "\n"

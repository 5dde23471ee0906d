"""``reconciler owned``: the ownership records."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from reconciler.cli.addresses import told_apart
from reconciler.cli.connecting import connected
from reconciler.cli.interruption import Interruption
from reconciler.cli.options import Choices, Output, Target, takes_choices, takes_files_or_name, takes_looks
from reconciler.cli.streams import emit, paint_for, warn
from reconciler.model.errors import ReconcilerError
from reconciler.model.record import Record
from reconciler.report.characters import visible

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_FORMAT = click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What to write.")


def _recorded(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    from reconciler.cli.completing import owned_addresses

    return owned_addresses(ctx, param, incomplete)


def _declared_or_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    from reconciler.cli.completing import a_file, manifest_addresses

    return [a_file(incomplete), *manifest_addresses(ctx, param, incomplete)]


def _recorded_or_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    from reconciler.cli.completing import a_file, owned_addresses

    return [a_file(incomplete), *owned_addresses(ctx, param, incomplete)]


_ADDRESS = click.argument("address", metavar="ADDRESS", shell_complete=_recorded)


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
    "show",
    short_help="Show one ownership record.",
    epilog="""\b
Examples:
  reconciler owned show kv/carbonio-files/db-name carbonio.yaml
  reconciler owned show acl-token/carbonio-gateway    # also when it was made, and which files hold it""",
)
@_ADDRESS
@takes_files_or_name
@_FORMAT
@takes_choices("timeout")
@takes_looks
def show(target: Target, choices: Choices, output: Output, *, address: str, output_format: str) -> None:
    """Show one ownership record whole: origin, incarnation, what was last applied. Without FILE and --name: whoever owns it.

    Of a token also: when it was made, which files hold it, and which of those that it replaced are still there.
    """
    anonymous = not target.files and target.name is None
    with connected(_named(target), output, choices.timeout_s) as (connections, _):
        from reconciler.engine import custody

        owned = custody.owned(connections, None if anonymous else connections.loaded.name)
        found = [(r, custody.history(connections, r)) for r in owned if address in (str(r.address), r.key)]
    if not found:
        raise ReconcilerError(f"{address} is not owned{'' if anonymous else ' by this manifest'}: see reconciler owned list")
    from reconciler.report import ownership

    if output_format == "json":
        emit(_json([ownership.record_document(record, history) for record, history in found]))
    else:
        emit("\n".join(ownership.record_text(record, paint_for(output.color, sys.stdout), history) for record, history in found))


@command.command(
    "forget", short_help="Give up the ownership of one resource.", epilog="\b\nExample:\n  reconciler owned forget acl-policy/shared carbonio.yaml"
)
@_ADDRESS
@takes_files_or_name
@takes_choices("lock_timeout", "timeout")
@takes_looks
def forget(target: Target, choices: Choices, output: Output, *, address: str) -> None:
    """Give up the ownership of one resource, which stays as it is.

    While its entry is in the manifest, the next apply adopts it again.
    """
    with Interruption() as interruption, connected(target, output, choices.timeout_s) as (connections, _):
        from reconciler.engine import custody

        record = custody.forget(connections, address, choices.lock_timeout_s, interruption.stop)
    emit(f"{record.address} is no longer owned by {record.owner}; it was left as it is.\n")


@command.command(
    "unprotect",
    short_help="Lift the protection of one resource.",
    epilog="\b\nExample:\n  reconciler owned unprotect database/default/files carbonio.yaml",
)
@_ADDRESS
@takes_files_or_name
@takes_choices("lock_timeout", "timeout")
@takes_looks
def unprotect(target: Target, choices: Choices, output: Output, *, address: str) -> None:
    """Lift the protection of one resource, so that it may be deleted or replaced.

    For a resource whose entry is gone: while its entry says protect: true, the next apply protects it again.
    """
    with Interruption() as interruption, connected(target, output, choices.timeout_s) as (connections, _):
        from reconciler.engine import custody

        record = custody.unprotect(connections, address, choices.lock_timeout_s, interruption.stop)
    emit(f"{record.address} is no longer protected.\n")


@command.command(
    "adopt",
    short_help="Take over what exists, as it is.",
    epilog="""\b
Examples:
  reconciler owned adopt acl-policy/carbonio-gateway-policy carbonio.yaml
  reconciler owned adopt 'kv/*' 'config-entry/*' carbonio.yaml""",
)
@click.argument("arguments", metavar="ADDRESS... FILE...", nargs=-1, required=True, shell_complete=_declared_or_file)
@takes_choices("lock_timeout", "timeout")
@takes_looks
def adopt(choices: Choices, output: Output, *, arguments: tuple[str, ...]) -> None:
    """Take over what exists under addresses of a manifest, without touching it.

    ADDRESS may hold *, which stands for any characters. What differs from the manifest is shown, and the next apply changes it: nothing is in the
    way of that any more. All or nothing: what belongs to another manifest, or could never be made equal, is refused.
    """
    addresses, files = told_apart(arguments)
    if not addresses or not files:
        raise click.UsageError("Give addresses and then the files of the manifest.", click.get_current_context())
    with Interruption() as interruption, connected(Target(files=files), output, choices.timeout_s) as (connections, _):
        from reconciler.engine import handover

        changes = handover.adopt(connections, addresses, choices.lock_timeout_s, interruption.stop)
    from reconciler.report import ownership

    emit(ownership.adopted_text(changes, connections.loaded.name, paint_for(output.color, sys.stdout)))


@command.command(
    "transfer",
    short_help="Give resources to another manifest, or move records to a system whose identity changed.",
    epilog="""\b
Examples:
  reconciler owned transfer 'kv/mail/*' --from everything mail.yaml        # what mail.yaml has entries for
  reconciler owned transfer '*' --from old-name --to new-name             # rename a manifest; connection from the environment
  reconciler owned transfer --system 7281934402913=default carbonio.yaml  # Postgres was restored on another server""",
)
@click.argument("arguments", metavar="[ADDRESS]... [FILE]...", nargs=-1, shell_complete=_recorded_or_file)
@click.option("--from", "source", metavar="NAME", help="The manifest that owns them now.")
@click.option("--to", "target", metavar="NAME", help="The manifest that shall own them, when no FILE says so.")
@click.option("--system", metavar="OLD=NEW", help="Instead: the identity that a system had, and its name in the manifest, or its identity, now.")
@click.option("--name", metavar="NAME", help="With --system and without FILE: the manifest whose records they are.")
@click.option("--connections", metavar="FILE", type=click.Path(readable=False), help="Without FILE: a manifest whose connections are used.")
@takes_choices("lock_timeout", "timeout")
@takes_looks
def transfer(
    choices: Choices, output: Output, *,
    arguments: tuple[str, ...], source: str | None, target: str | None, system: str | None, name: str | None, connections: str | None,
) -> None:  # fmt: skip
    """Give resources to another manifest. Nothing but the records is touched.

    With FILE its manifest gets them, and each must have an entry in it, because its next apply would remove what has none. With --to it is not
    looked at. Both manifests are locked.

    With --system the records move to a system that has got another identity, such as a Postgres restored from a dump: everything is looked for
    there and its incarnation read anew. What is not there is forgotten, so that the next apply makes it.
    """
    addresses, files = told_apart(arguments)
    wrong = _wrong_transfer(addresses, files, source, target, system, name)
    if wrong:
        raise click.UsageError(wrong, click.get_current_context())
    where = Target(files=files) if files else Target(name=name or target, connections=connections)
    with Interruption() as interruption, connected(where, output, choices.timeout_s) as (opened, _):
        from reconciler.engine import handover, resettle
        from reconciler.report import ownership

        if system is not None:
            old, _, new = system.partition("=")
            settled = resettle.resettle(opened, old, new, choices.lock_timeout_s, interruption.stop)
            emit(ownership.resettled_text(f"{settled.system} ({settled.identity})", settled.moved, settled.forgotten))
            return
        done = handover.transfer(opened, addresses, source or "", declared=bool(files), lock_timeout_s=choices.lock_timeout_s, stop=interruption.stop)
    for warning in done.warnings:
        warn(warning)
    emit("".join(f"{visible(str(record.address))} belongs to {record.owner} now.\n" for record in done.records))


def _wrong_transfer(
    addresses: tuple[str, ...], files: tuple[str, ...], source: str | None, target: str | None, system: str | None, name: str | None
) -> str:  # fmt: skip
    """What is wrong with the arguments of a transfer, or empty."""
    if system is not None:
        if addresses or source or target:
            return "--system moves all records on a system: leave out ADDRESS, --from and --to."
        if not all(system.partition("=")):
            return f"--system takes OLD=NEW, not {system!r}."
        return "" if bool(files) != bool(name) else "Give FILE or --name with --system: the manifest whose records they are."
    if name:
        return "--name goes with --system: give --to NAME."
    if not addresses or not source:
        return "Give addresses, and --from with the name of the manifest that owns them."
    return "" if bool(files) != bool(target) else "Give FILE or --to: the manifest that shall own them."


def _named(target: Target) -> Target:
    """A target that has a name in any case: reading the records of all manifests takes none."""
    return target if target.files or target.name is not None else Target(name="all", connections=target.connections)


def _records(target: Target, output: Output, choices: Choices, *, owner_only: bool) -> list[Record]:
    with connected(target, output, choices.timeout_s) as (connections, _):
        from reconciler.engine import custody

        return custody.owned(connections, connections.loaded.name if owner_only else None)


def _json(records: list[object]) -> str:
    return json.dumps({"format_version": 1, "records": records}, indent=2) + "\n"

"""``reconciler unlock``."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.approval import ask, can_ask
from reconciler.cli.connecting import connected
from reconciler.cli.options import Choices, Output, Target, takes_choices, takes_looks
from reconciler.cli.streams import emit
from reconciler.model.errors import ReconcilerError
from reconciler.report.characters import visible


@click.command(
    "unlock",
    epilog="""\b
Examples:
  reconciler unlock carbonio.yaml
  reconciler unlock carbonio-files-db      # by the manifest's name; connection from the environment""",
)
@click.argument("manifest", metavar="FILE|NAME")
@click.option(
    "--connections", metavar="FILE", type=click.Path(readable=False), help="With NAME: a manifest whose consul section says how to connect."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@takes_choices("timeout")
@takes_looks
def command(choices: Choices, output: Output, *, manifest: str, connections: str | None, yes: bool) -> None:
    """Take the lock away from a run that holds it.

    Only for a run that is known to be dead on another machine: a dead one on this machine, and one that was cut off from Consul for half a
    minute, lose it by themselves. A run that is alive stops with exit code 3 when its lock is taken.
    """
    target = Target(files=(manifest,)) if _is_file(manifest) else Target(name=manifest)
    target = target if connections is None else Target(target.files, target.name, connections)

    def confirm(holder: str) -> bool:
        if not yes and not can_ask():
            raise ReconcilerError(f"the lock is held by {holder}, and there is no terminal to ask on: give --yes if that run is dead")
        return yes or ask(f'The lock is held by {visible(holder)}. Take it away? Only "yes" is accepted: ')

    with connected(target, output, choices.timeout_s) as (opened, _):
        from reconciler.engine import custody

        taken = custody.unlock(opened, opened.loaded.name, confirm)
        name = opened.loaded.name
    emit(f"{name} was not locked.\n" if taken is None else f"{name} is unlocked; the lock was held by {visible(taken)}.\n")


def _is_file(manifest: str) -> bool:
    return "/" in manifest or manifest.endswith((".yaml", ".yml")) or Path(manifest).exists()

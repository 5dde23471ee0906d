"""``reconciler validate``."""

from __future__ import annotations

import click

from reconciler.cli.connecting import connected
from reconciler.cli.options import Output, Target, takes_files, takes_looks
from reconciler.cli.streams import emit, warn


@click.command(
    "validate",
    epilog="""\b
Examples:
  reconciler validate carbonio.yaml
  reconciler validate base.yaml production.yaml     # the later file is merged over the earlier""",
)
@takes_files
@takes_looks
def command(target: Target, output: Output) -> None:
    """Check a manifest without asking any server.

    No secret is resolved, so it runs where there are none. All mistakes are reported at once, each as file:line:column: what is wrong: what
    to do.
    """
    with connected(target, output) as (connections, _):
        from reconciler.engine.operations import validate

        number, unsupported = validate(connections.loaded)
    for diagnostic in unsupported:
        warn(str(diagnostic))
    emit(f"{connections.loaded.name}: valid, {number} {'resource' if number == 1 else 'resources'}.\n")

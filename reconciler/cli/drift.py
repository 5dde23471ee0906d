"""``reconciler drift``."""

from __future__ import annotations

import click

from reconciler.cli.applying import refuse
from reconciler.cli.connecting import connected
from reconciler.cli.options import Choices, Output, Target, takes_choices, takes_files, takes_output
from reconciler.cli.progress import status_line
from reconciler.cli.reporting import Report

DRIFTED = 2


@click.command(
    "drift",
    epilog="""\b
Examples:
  reconciler drift carbonio.yaml
  */10 * * * * root out=$(reconciler drift /etc/carbonio.yaml 2>&1) || [ $? = 4 ] || echo "$out"    # in /etc/cron.d""",
)
@takes_files
@takes_choices("targets", "excludes", "timeout")
@takes_output
def command(target: Target, choices: Choices, output: Output) -> int:
    """Show what others changed since the last apply.

    Read-only: compares what is live with what was last applied, not with the manifest, so a change that is not applied yet is no drift. Exits
    with 2 when there is drift, with 1 when nothing was ever applied under this name, and with 4 while an apply is under way.
    """
    with connected(target, output, choices.timeout_s) as (connections, log), status_line(output) as line:
        from reconciler.engine import operations

        line.show(f"Reading what is live for {connections.loaded.name}…", at_once=True)
        found = operations.drift(connections, choices.options().scope)
        log.info("compared", drifted=len(found.changes), unchanged=found.unchanged, refusals=len(found.refusals))
    Report("drift", output).finish(found)
    if found.refusals:
        return refuse(found)
    return DRIFTED if found.changes else 0

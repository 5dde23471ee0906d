"""``reconciler plan``."""

from __future__ import annotations

import click

from reconciler.cli.applying import refuse
from reconciler.cli.connecting import connected
from reconciler.cli.options import Choices, Output, Target, takes_choices, takes_files, takes_output
from reconciler.cli.progress import status_line
from reconciler.cli.reporting import Report

PENDING = 2


@click.command(
    "plan",
    epilog="""\b
Symbols: + create, ~ change, -/+ replace, - delete, » adopt, × forget.

\b
Examples:
  reconciler plan carbonio.yaml
  reconciler plan base.yaml production.yaml     # the later file is merged over the earlier
  reconciler plan --adopt 'acl-policy/*' carbonio.yaml
  reconciler plan --format json carbonio.yaml | jq '.counts'""",
)
@takes_files
@takes_choices("targets", "excludes", "adopt", "allow_delete", "allow_data_loss", "max_deletes", "timeout")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
@takes_output
def command(target: Target, choices: Choices, output: Output, *, detailed_exitcode: bool) -> int:
    """Show what apply would do.

    Nothing is changed and no lock is taken. Reads the live systems and the ownership records in Consul. A plan that must not be applied is shown
    whole, with the reasons, and exits with 5.
    """
    with connected(target, output, choices.timeout_s) as (connections, log), status_line(output) as line:
        from reconciler.engine import operations

        line.show(f"Reading what is live for {connections.loaded.name}…", at_once=True)
        plan = operations.plan(connections, choices.options())
        log.info("planned", changes=len(plan.changes), unchanged=plan.unchanged, refusals=len(plan.refusals))
    Report("plan", output).finish(plan)
    if plan.refusals:
        return refuse(plan)
    return PENDING if detailed_exitcode and not plan.is_empty else 0

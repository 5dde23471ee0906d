"""``reconciler plan``."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.applying import refuse
from reconciler.cli.connecting import connected
from reconciler.cli.options import Choices, Output, Target, takes_choices, takes_files, takes_output
from reconciler.cli.progress import status_line
from reconciler.cli.reporting import Report
from reconciler.cli.saved import check_place, write

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
  reconciler plan --format json carbonio.yaml | jq '.counts'
  reconciler plan --out carbonio.plan carbonio.yaml && reconciler apply carbonio.plan""",
)
@takes_files
@takes_choices("targets", "excludes", "adopt", "allow_delete", "allow_data_loss", "max_deletes", "timeout")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, readable=False), help="Save the plan, for reconciler apply FILE."
)
@click.option("--destroy", is_flag=True, help="Show what destroy would do.")
@takes_output
def command(target: Target, choices: Choices, output: Output, *, detailed_exitcode: bool, out: Path | None, destroy: bool) -> int:
    """Show what apply would do.

    Nothing is changed and no lock is taken. Reads the live systems and the ownership records in Consul. A plan that must not be applied is shown
    whole, with the reasons, and exits with 5.

    A saved plan holds the manifest and the consents, and no secret: those are read again by apply, which makes the plan anew and carries it out
    only if it is still the same. A plan that must not be applied is not saved.
    """
    if out is not None:
        check_place(out, target)
    with connected(target, output, choices.timeout_s) as (connections, log), status_line(output) as line:
        from reconciler.engine import operations

        line.show(f"Reading what is live for {connections.loaded.name}…", at_once=True)
        options = choices.options(destroy=destroy)
        if out is not None:
            operations.savable(connections.loaded)
        plan = operations.plan(connections, options)
        log.info("planned", changes=len(plan.changes), unchanged=plan.unchanged, refusals=len(plan.refusals))
        if out is not None and not plan.refusals:
            write(operations.save(connections, options, plan), out)
    Report("plan", output, destroy=destroy).finish(plan)
    if plan.refusals:
        return refuse(plan)
    return PENDING if detailed_exitcode and not plan.is_empty else 0

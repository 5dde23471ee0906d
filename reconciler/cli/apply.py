"""``reconciler apply``."""

from __future__ import annotations

import click

from reconciler.cli import applying
from reconciler.cli.options import Choices, Output, Target, takes_choices, takes_files, takes_output
from reconciler.cli.saved import opened


@click.command(
    "apply",
    epilog="""\b
Examples:
  reconciler apply carbonio.yaml
  reconciler apply --auto-approve --lock-timeout 5m carbonio.yaml    # in a pipeline
  reconciler apply --lock-timeout 5m carbonio.plan                   # what plan --out has saved
  reconciler apply --allow-data-loss 'database/default/old' carbonio.yaml""",
)
@takes_files
@click.option("--auto-approve", is_flag=True, help="Do not ask. Needed where there is no terminal to ask on.")
@takes_choices("targets", "excludes", "adopt", "allow_delete", "allow_data_loss", "max_deletes", "parallelism", "lock_timeout", "wait", "timeout")
@takes_output
def command(target: Target, choices: Choices, output: Output, *, auto_approve: bool) -> int:
    """Make the live systems match the manifest.

    Plans under a lock, shows the plan, asks for "yes", applies it, and waits until the gateways that it has started serve. Ends with what was
    applied, what failed, what was not attempted and what does not serve; exits with 3 when anything is left, and running it again goes on from
    there. Ctrl-C finishes what is in flight and releases the lock.

    FILE may also be one plan that plan --out has saved: it is made anew, and carried out without asking if it is still the same on the same
    systems; else it is refused, and says what has changed.
    """
    saved = opened(target)
    if saved is not None:
        return applying.run_saved(saved, target, output, choices)
    return applying.run("apply", target, output, choices, auto_approve=auto_approve)

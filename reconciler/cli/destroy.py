"""``reconciler destroy``."""

from __future__ import annotations

import click

from reconciler.cli import applying
from reconciler.cli.options import Choices, Output, Target, takes_choices, takes_files_or_name, takes_output


@click.command(
    "destroy",
    epilog="""\b
Examples:
  reconciler destroy carbonio.yaml
  reconciler destroy --name carbonio-files-db                                # connections from the environment
  reconciler destroy --name carbonio-files-db --connections connections.yaml""",
)
@takes_files_or_name
@click.option("--auto-approve", is_flag=True, help="Do not ask. Needed where there is no terminal to ask on.")
@takes_choices("targets", "excludes", "allow_data_loss", "parallelism", "lock_timeout", "timeout")
@takes_output
def command(target: Target, choices: Choices, output: Output, *, auto_approve: bool) -> int:
    """Remove everything that a manifest made.

    The same as an apply of the manifest with every entry removed: what it created is deleted, what it adopted is left as it is and forgotten,
    what is protected is refused. Databases with tables and roles that own objects still need --allow-data-loss.
    """
    return applying.run("destroy", target, output, choices, auto_approve=auto_approve)

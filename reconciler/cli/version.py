"""``reconciler version``."""

from __future__ import annotations

import click

from reconciler import __version__
from reconciler.cli.streams import emit


@click.command("version")
def command() -> None:
    """Show the version of this program."""
    emit(f"reconciler {__version__}\n")

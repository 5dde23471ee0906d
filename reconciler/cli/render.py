"""``reconciler render``."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli.connecting import load_target
from reconciler.cli.options import Target, takes_files
from reconciler.cli.streams import emit
from reconciler.model.errors import ReconcilerError

_SCRIPT = "install.sh"


@click.command(
    "render",
    short_help="Write the files and commands for a host, to deploy by other means.",
    epilog="""\b
Example:
  reconciler render --host gateway --output gateway carbonio.yaml
  scp -r gateway root@gateway.example.com: && ssh root@gateway.example.com sh gateway/install.sh""",
)
@takes_files
@click.option("--host", metavar="NAME", default="local", show_default=True, help="The host, by its name in the manifest.")
@click.option(
    "--output", metavar="DIR", required=True, type=click.Path(path_type=Path, file_okay=False, writable=True),
    help="The folder to write to; a new or empty one.",
)  # fmt: skip
def command(target: Target, host: str, output: Path) -> None:
    """Write what a host is to have into a folder: its files, and a script that makes accounts, folders and units and puts the files in their places.

    Nothing is connected and no secret is read: the files that hold one are named, to be put there before the script is run. What Consul and Postgres
    are to have is not written: that is for apply.
    """
    loaded = load_target(target)
    from reconciler.engine.rendering import render

    rendering = render(loaded, host)
    if output.exists() and any(output.iterdir()):
        raise ReconcilerError(f"{output} is not empty: name another folder, or remove it")
    for path, content in rendering.files.items():
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        (output / path).write_bytes(content)
    for path in rendering.secrets:
        (output / path).parent.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    script = output / _SCRIPT
    script.write_text(rendering.script, encoding="utf-8", errors="surrogateescape")
    script.chmod(0o755)
    emit("".join(f"{output / path}\n" for path in (*sorted(rendering.files), _SCRIPT)))
    if rendering.secrets:
        click.echo("Secrets are not written. Put each of these there before the script is run, with nothing else in it:", err=True)
        for path in rendering.secrets:
            click.echo(f"  {output / path}", err=True)

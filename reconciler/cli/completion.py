"""``reconciler completion``."""

from __future__ import annotations

import click

from reconciler.cli.streams import emit


@click.command(
    "completion",
    short_help="Write a script that lets the shell complete commands.",
    epilog="""\b
Examples:
  eval "$(reconciler completion bash)"                                           # in ~/.bashrc
  eval "$(reconciler completion zsh)"                                            # in ~/.zshrc, after compinit
  reconciler completion fish > ~/.config/fish/completions/reconciler.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Write a script that lets the shell complete commands, options, files and addresses.

    Addresses come from the manifests on the line, without asking any server; those of `owned show`, `forget` and `unprotect` from the ownership
    records, when Consul answers within two seconds. What cannot be had is not completed, and nothing is ever said about it.
    """
    from reconciler.cli.completing import script

    emit(script(shell))

"""A group whose commands are imported when they are asked for, so that ``reconciler version`` does not wait for ``apply``."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword
from typing import Any

import click
from click.exceptions import NoSuchCommand


class LazyGroup(click.Group):
    """Commands by name. Each is the attribute ``command`` of the module ``reconciler.cli.<name>``, with ``_`` after a keyword."""

    def __init__(self, *args: Any, names: tuple[str, ...] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self._names = names

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order that was given: what is used most comes first."""
        return [*self._names, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in self._names:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(f"reconciler.cli.{cmd_name}{'_' if iskeyword(cmd_name) else ''}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, but a mistyped name is answered with those that look like it; click knows only those that are loaded."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return super().resolve_command(ctx, args)

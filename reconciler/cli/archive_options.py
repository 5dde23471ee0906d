"""What the commands on a cluster archive share: which one, and where its password comes from. A password is never an argument: `ps` shows those."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.options import Command
from reconciler.cli.passwords import can_ask, this_node, typed
from reconciler.credentials import node
from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret, SecretSource

if TYPE_CHECKING:
    from reconciler.credentials.archive import Archive
    from reconciler.systems.consul.connection import ConsulSettings

_ARCHIVE: Final = click.argument("archive", metavar="[ARCHIVE]", required=False, type=click.Path(path_type=Path, readable=False))
_PASSWORD_FILE: Final = click.option(
    "--password-file", metavar="FILE", type=click.Path(path_type=Path, readable=False), help="A file that holds the archive's password."
)
_PASSWORD_ENV: Final = click.option("--password-env", metavar="NAME", help="An environment variable that holds it.")


@dataclass(frozen=True, slots=True)
class ArchiveChoice:
    """The archive of the command line, or this node's."""

    path: Path
    password_file: Path | None
    password_env: str | None
    left_by_set_up: bool = True

    def password(self, *, new: bool = False) -> Secret:
        """From the options, else for this node's archive from set-up, else from who sits at the terminal. ``new``: typed twice.

        Raises ReconcilerError where there is none.
        """
        given = self._given()
        if given is not None:
            return given
        if not can_ask():
            raise ReconcilerError(f"there is no password for {self.path}, and no terminal to ask on: give --password-file or --password-env")
        return Secret(_typed_twice(self.path) if new else _typed(self.path))

    def new_password(self) -> Secret:
        """From the options, else typed twice; never the one that set-up left. Raises ReconcilerError where there is none."""
        return replace(self, path=self.path.absolute(), left_by_set_up=False).password(new=True)

    def _given(self) -> Secret | None:
        from reconciler.systems.secret_sources import resolve

        if self.password_file is not None:
            return resolve(SecretSource("file", str(self.password_file)), Path(), os.environ)
        if self.password_env is not None:
            return resolve(SecretSource("env", self.password_env), Path(), os.environ)
        return this_node().password() if self._is_left_by_set_up else None

    @property
    def _is_left_by_set_up(self) -> bool:
        return self.password_file is None and self.password_env is None and self.path == node.ARCHIVE and self.left_by_set_up

    def open(self) -> Archive:
        """The archive, opened. The file is looked at before anybody is asked for a password. Raises ReconcilerError."""
        from reconciler.credentials.opening import read_sealed, unseal
        from reconciler.systems.openpgp import WrongPassword

        sealed = read_sealed(self.path)
        try:
            return unseal(sealed, self.password(), self.path)
        except WrongPassword as error:
            if not self._is_left_by_set_up:
                raise
            if not can_ask():
                raise this_node().left_over(error) from None
            return unseal(sealed, Secret(_typed(self.path)), self.path)


def takes_archive(function: Command) -> Command:
    """ARCHIVE and the options for its password, as ``chosen``."""

    def wrapper(*args: Any, archive: Path | None, password_file: Path | None, password_env: str | None, **more: Any) -> Any:
        if password_file is not None and password_env is not None:
            raise click.UsageError("--password-file excludes --password-env.", click.get_current_context())
        return function(*args, chosen=ArchiveChoice(archive or node.ARCHIVE, password_file, password_env), **more)

    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    wrapper.__dict__.update(function.__dict__)
    result: Callable[..., Any] = _ARCHIVE(_PASSWORD_FILE(_PASSWORD_ENV(wrapper)))
    return result  # type: ignore[return-value]  # click's decorators return what they are given


def consul_of_the_environment(timeout_s: float | None) -> ConsulSettings:
    """How to reach Consul by the environment, without the token that may be in there: it may be the one that is lost. Raises ReconcilerError."""
    from reconciler.systems.consul.connection import TOKEN_VARIABLES, consul_settings

    environ = {name: value for name, value in os.environ.items() if name not in TOKEN_VARIABLES}
    return consul_settings(None, environ, lambda secret: secret, timeout_s=timeout_s)


def _typed(path: Path) -> str:
    text = typed(f"Password of {path}: ")
    if not text:
        raise ReconcilerError(f"no password was given for {path}: it is needed to open it")
    return text


def _typed_twice(path: Path) -> str:
    text = typed(f"New password for {path}: ")
    if not text:
        raise ReconcilerError("no password was given: the archive needs one")
    if typed("The same again: ") != text:
        raise ReconcilerError("these were two different passwords: nothing was changed")
    return text

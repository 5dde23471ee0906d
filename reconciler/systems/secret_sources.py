"""Secrets that lie outside the live systems: in the environment, in files, behind commands.

Errors say where the secret was looked for and why it was not had; never what was found there, nor what a command wrote.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret, SecretSource

COMMAND_TIMEOUT_S: Final = 60.0
"""How long a command may take; some ask a person for a password."""

LONGEST_BYTES: Final = 1 << 20


def resolve(source: SecretSource, directory: Path, environ: Mapping[str, str]) -> Secret:
    """The secret behind a reference to the environment, a file or a command.

    ``directory`` is what relative paths of files are relative to, and where commands run; commands get ``environ``. One newline at the end of a
    file or of a command's output is dropped. Raises ReconcilerError when there is none, or an empty one: that is never meant.
    """
    if source.form == "env":
        return _from_environment(source.argument, environ)
    if source.form == "file":
        return _from_file(source.argument, directory)
    if source.form == "exec":
        return _from_command(source.argument, directory, environ)
    raise ValueError(f"{source.form} is resolved by reconciler.credentials")


def _from_environment(name: str, environ: Mapping[str, str]) -> Secret:
    value = environ.get(name)
    if value is None:
        raise ReconcilerError(f"the environment variable {name} is not set: set it to the secret")
    if not value:
        raise ReconcilerError(f"the environment variable {name} is empty: set it to the secret")
    return Secret(value)


def _from_file(written: str, directory: Path) -> Secret:
    path = directory / written
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_BYTES + 1)
    except OSError as error:
        raise ReconcilerError(f"the secret file {path} cannot be read: {_reason(error)}: create it, or correct the path") from None
    return _text(content, f"the secret file {path}")


def _from_command(arguments: Sequence[str], directory: Path, environ: Mapping[str, str]) -> Secret:
    """The first word alone is ever shown: the others may hold what nobody should see."""
    name = f"the command {arguments[0]}"
    by_hand = "run it by hand to see why"
    try:
        process = subprocess.Popen(
            arguments, cwd=directory, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except (OSError, ValueError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "an argument holds a zero byte"
        raise ReconcilerError(f"{name} cannot be run: {reason}: install it, or correct the secret's exec") from None
    try:
        output, _ = process.communicate(timeout=COMMAND_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ReconcilerError(f"{name} did not end within {COMMAND_TIMEOUT_S:g} s: {by_hand}") from None
    finally:
        _end(process)
    if process.returncode:
        how = f"ended with status {process.returncode}" if process.returncode > 0 else f"was ended by signal {-process.returncode}"
        raise ReconcilerError(f"{name} {how}: {by_hand}")
    return _text(output, f"the output of {name}")


def _end(process: subprocess.Popen[bytes]) -> None:
    # Not through communicate() again: a child of the command may hold the pipe open for ever.
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdout is not None:
        with contextlib.suppress(OSError):
            process.stdout.close()


def _text(content: bytes, what: str) -> Secret:
    if len(content) > LONGEST_BYTES:
        raise ReconcilerError(f"{what} is over {LONGEST_BYTES:,} bytes long, which is no secret: correct the reference")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ReconcilerError(f"{what} is not UTF-8 text: write the secret as text") from None
    text = text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
    if not text:
        raise ReconcilerError(f"{what} is empty: a secret was expected there")
    return Secret(text)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()

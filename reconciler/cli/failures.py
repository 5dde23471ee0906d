"""What a failure looks like: one line on standard error, and an exit code. A traceback only for who asks for it, without secrets.

The model is imported by who has something to report: ``version`` and ``--help`` do not wait for it.
"""

from __future__ import annotations

import gc
import json
import traceback
from pathlib import Path

import click

from reconciler.cli.streams import PROGRAM, NobodyReads, give_up_stdout, say

INTERRUPTED = 130


class Verbosity:
    """How often ``-v`` was given; known to the end of the run, also when the command has failed."""

    def __init__(self) -> None:
        self.level = 0


def exit_code_of(failure: BaseException) -> int:
    """The exit code (docs/design.md §4): click's 2 for a usage error is ours for pending changes, so it becomes 1."""
    from reconciler.model.errors import ReconcilerError

    if isinstance(failure, ReconcilerError):
        return failure.exit_code
    if isinstance(failure, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    if isinstance(failure, SystemExit):
        return failure.code if isinstance(failure.code, int) else 1
    return 1


def report(failure: BaseException, verbosity: Verbosity) -> None:
    """Say on standard error what went wrong."""
    from reconciler.model.errors import ManifestError

    if isinstance(failure, SystemExit):
        return
    if isinstance(failure, NobodyReads):
        give_up_stdout()
        return
    if verbosity.level > 1:
        say(masked("".join(traceback.format_exception(failure))).rstrip("\n"))
    if isinstance(failure, click.exceptions.NoArgsIsHelpError):
        say(failure.format_message())
    elif isinstance(failure, ManifestError):
        say(str(failure))
    elif isinstance(failure, KeyboardInterrupt | click.Abort):
        say(f"{PROGRAM}: interrupted")
    else:
        say(f"{PROGRAM}: error: {_sentence(failure, verbosity)}")


def error_text(failure: BaseException) -> str:
    """What went wrong, for a report that a program reads, without secrets."""
    from reconciler.model.errors import ReconcilerError

    if isinstance(failure, KeyboardInterrupt | click.Abort):
        return "interrupted"
    return masked(str(failure) if isinstance(failure, ReconcilerError) else f"a mistake in reconciler: {type(failure).__name__}: {failure}")


def masked(text: str) -> str:
    """``text`` without any secret that this process still holds: an exception from a library may have quoted one.

    Frames are shown without their variables, but the message of an exception is whatever its author thought useful.
    """
    from reconciler.model.secret import MASK, Secret

    values = {secret.reveal() for secret in gc.get_objects() if type(secret) is Secret}
    # Longest first, so that one that is part of another does not leave the rest of that behind.
    for value in sorted((v for v in values if len(v) > 2), key=len, reverse=True):
        for form in (value, repr(value)[1:-1], json.dumps(value)[1:-1]):
            text = text.replace(form, MASK)
    return text


def _sentence(failure: BaseException, verbosity: Verbosity) -> str:
    from reconciler.model.errors import ReconcilerError

    if isinstance(failure, ReconcilerError):
        return str(failure) or type(failure).__name__
    if isinstance(failure, click.UsageError):
        message = " ".join(failure.format_message().split())  # click lists choices on lines of their own
        end = "" if message.endswith((".", "?", ")")) else "."
        return f"{message}{end} See {failure.ctx.command_path} --help" if failure.ctx else message
    if isinstance(failure, click.ClickException):
        return failure.format_message()
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror
    return _bug(failure, verbosity)


def _bug(failure: BaseException, verbosity: Verbosity) -> str:
    frames = traceback.extract_tb(failure.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    advice = "" if verbosity.level > 1 else "; run it again with -vv to see where, and report it"
    message = masked(str(failure)).strip().split("\n")[0]
    return f"this is a mistake in reconciler: {type(failure).__name__}{where}: {message}{advice}"

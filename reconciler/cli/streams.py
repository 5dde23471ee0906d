"""Standard output for results, standard error for everything else, both fit for a terminal that has no colour or no Unicode."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Final, Literal, NoReturn, TextIO

from reconciler.report.characters import encodable, visible_lines
from reconciler.report.paint import Paint

ColorChoice = Literal["auto", "always", "never"]

PROGRAM: Final = "reconciler"


class NobodyReads(Exception):
    """Standard output was closed: by ``| head``, or from the start. There is nobody to tell, so the run ends without a word."""


def never_fail_to_encode() -> None:
    """Let what click writes itself, the help, escape a character that standard output cannot hold."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def emit(text: str) -> None:
    """Write a result. Raises NobodyReads, and ReconcilerError when it cannot be written for another reason, such as a full disk."""
    if sys.stdout is None:
        raise NobodyReads
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        raise NobodyReads from None
    except OSError as error:
        from reconciler.model.errors import ReconcilerError

        give_up_stdout()
        raise ReconcilerError(f"standard output: {error.strerror}") from None


def emit_in_any_case(text: str) -> None:
    """Write what became of a run: on standard error when standard output is gone, because it is too late to stop for it."""
    from reconciler.model.errors import ReconcilerError

    try:
        emit(text)
    except (NobodyReads, ReconcilerError, ValueError):
        give_up_stdout()
        say_painted(text.rstrip("\n"))


def say(text: str) -> None:
    """Write a line for the person at the terminal; what cannot be said is not an error."""
    say_painted(visible_lines(text))


def say_painted(text: str) -> None:
    """The same with a text that was made fit for a terminal already, and may be in colour."""
    if sys.stderr is None:
        return
    try:
        _write(sys.stderr, text + "\n")
    except (OSError, ValueError):
        return


def warn(text: str) -> None:
    """Write a warning."""
    say(f"{PROGRAM}: warning: {text}")


def paint_for(choice: ColorChoice, stream: TextIO | None) -> Paint:
    """Colour as asked for; by itself on a terminal that can do it, unless NO_COLOR is set (https://no-color.org)."""
    if choice != "auto":
        return Paint(choice == "always")
    return Paint(is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits behind ``stream``."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def give_up_stdout() -> None:
    """Nobody reads standard output: let what is still buffered go nowhere, so that the interpreter does not complain at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return


def leave(code: int) -> NoReturn:
    """End the process now, with everything written that can be: to take the interpreter to pieces first takes a tenth of a second."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            pass
        except (OSError, ValueError):
            code = code or 1
    os._exit(code)


def _write(stream: TextIO, text: str) -> None:
    stream.write(encodable(text, stream.encoding))
    stream.flush()

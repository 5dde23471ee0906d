"""The options that several commands share, each group of them handed to the command as one value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from reconciler.cli.failures import Verbosity
from reconciler.cli.streams import ColorChoice

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from reconciler.engine.operations import Options

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_DELETION_LIMIT: Final = re.compile(r"\d+%?")


def duration(text: str) -> float:
    """``30s``, ``5m``, ``1h30m``, ``500ms`` or ``0``, as seconds."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise click.BadParameter(f"{text!r} is not a duration: write a number and its unit, such as 30s or 5m.")
    return float(sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION_PART.findall(text)))


def deletion_limit(text: str) -> str:
    """``N`` or ``N%``, as it is."""
    if not _DELETION_LIMIT.fullmatch(text):
        raise click.BadParameter(f"{text!r} is neither a number nor a percentage, such as 12 or 30%.")
    return text


@dataclass(frozen=True, slots=True)
class Output:
    """How results and logs are written."""

    format: Literal["text", "json", "markdown"] = "text"
    json_into: Path | None = None
    color: ColorChoice = "auto"
    verbose: int = 0
    log_format: Literal["text", "json"] = "text"
    log_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Which manifest: files to be merged, or the name of one whose files are gone. ``connections`` says where the systems are then."""

    files: tuple[str, ...] = ()
    name: str | None = None
    connections: str | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """Consents and limits, as on the command line."""

    adopt: tuple[str, ...] = ()
    allow_delete: tuple[str, ...] = ()
    allow_data_loss: tuple[str, ...] = ()
    max_deletes: str = "30%"
    parallelism: int = 16
    lock_timeout_s: float = 0.0
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    timeout_s: float | None = None
    wait_s: float = 0.0

    def options(self, *, destroy: bool = False) -> Options:
        """The same for the engine, which knows nothing of the timeout of a single request."""
        from reconciler.engine.operations import Options

        known = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "timeout_s"}
        return Options(**known, destroy=destroy)


def declared(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Completes an address by what the manifests on the line declare."""
    from reconciler.cli.completing import manifest_addresses

    return manifest_addresses(ctx, param, incomplete)


def _remember_verbosity(ctx: click.Context, param: click.Parameter, value: int) -> int:  # noqa: ARG001  # click's signature
    ctx.ensure_object(Verbosity).level = value
    return value


_FILES: Final = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(readable=False))
_FILES_OR_NAME: Final = (
    click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(readable=False)),
    click.option("--name", metavar="NAME", help="Instead of FILE: the name of the manifest, when its file is gone."),
    click.option(
        "--connections",
        metavar="FILE",
        type=click.Path(readable=False),
        help="With --name: a manifest whose connections are used, in place of the environment's.",
    ),
)
_OUTPUT: Final = (
    click.option(
        "--format",
        type=click.Choice(["text", "json", "markdown"]),
        default="text",
        show_default=True,
        help="What to write on standard output; markdown is for a comment on a merge request.",
    ),
    click.option("--json-into", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, readable=False), help="Also write the JSON to FILE."),
)
_LOOKS: Final = (
    click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True, help="auto: on a terminal."),
    click.option("-v", "--verbose", count=True, callback=_remember_verbosity, help="Log to standard error what is done; -vv: also each request."),
    click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How log lines look."),
    click.option("--log-file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, readable=False), help="Append the log to FILE."),
)
_TIMEOUT: Final = click.option(
    "--timeout", "timeout_s", metavar="DURATION", type=duration, help="For one request to Consul; overrides consul.timeout."
)
_LOCK_TIMEOUT: Final = click.option(
    "--lock-timeout",
    "lock_timeout_s",
    metavar="DURATION",
    type=duration,
    default="0",
    show_default=True,
    help="How long to wait for another run to end.",
)
_PARALLELISM: Final = click.option(
    "--parallelism", type=click.IntRange(1, 256), default=16, show_default=True, metavar="N", help="Changes made at the same time."
)
_ADOPT: Final = click.option(
    "--adopt",
    metavar="GLOB",
    multiple=True,
    shell_complete=declared,
    help="Take over, and change, what exists already under these addresses; * crosses /.",
)
_ALLOW_DELETE: Final = click.option(
    "--allow-delete", metavar="GLOB", multiple=True, shell_complete=declared, help="These deletions are meant, and not counted."
)
_ALLOW_DATA_LOSS: Final = click.option(
    "--allow-data-loss", metavar="GLOB", multiple=True, shell_complete=declared, help="Delete these with all that is in them."
)
_MAX_DELETES: Final = click.option(
    "--max-deletes", metavar="N|N%", type=deletion_limit, default="30%", show_default=True, help="Refuse to delete more, once 10 resources are owned."
)
_WAIT: Final = click.option(
    "--wait",
    "wait_s",
    metavar="DURATION",
    type=duration,
    default="60s",
    show_default=True,
    help="How long to wait until what was started serves; 0 not to wait.",
)
_TARGETS: Final = click.option(
    "--target",
    "targets",
    metavar="GLOB",
    multiple=True,
    shell_complete=declared,
    help="Only these addresses, and what must be done for them; * crosses /.",
)
_EXCLUDES: Final = click.option("--exclude", "excludes", metavar="GLOB", multiple=True, shell_complete=declared, help="Not these addresses.")

_CHOICES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "adopt": _ADOPT,
    "allow_delete": _ALLOW_DELETE,
    "allow_data_loss": _ALLOW_DATA_LOSS,
    "max_deletes": _MAX_DELETES,
    "parallelism": _PARALLELISM,
    "lock_timeout": _LOCK_TIMEOUT,
    "targets": _TARGETS,
    "excludes": _EXCLUDES,
    "timeout": _TIMEOUT,
    "wait": _WAIT,
}


def takes_files(function: Command) -> Command:
    """One or more manifest files, as ``target``."""
    return _gathered(function, "target", Target, (_FILES,))


def takes_files_or_name(function: Command) -> Command:
    """Manifest files or ``--name``, as ``target``; which of them a command insists on is its own affair."""
    return _gathered(function, "target", Target, _FILES_OR_NAME)


def takes_output(function: Command) -> Command:
    """Everything about formats, colour and logs, as ``output``."""
    return _gathered(function, "output", Output, (*_OUTPUT, *_LOOKS))


def takes_looks(function: Command) -> Command:
    """Colour and logs only, as ``output``."""
    return _gathered(function, "output", Output, _LOOKS)


def takes_choices(*names: str) -> Callable[[Command], Command]:
    """The named consents and limits, as ``choices``; the others keep their defaults."""
    return lambda function: _gathered(function, "choices", Choices, tuple(_CHOICES[name] for name in names))


def _gathered(function: Command, name: str, into: type[Any], options: tuple[Callable[[Any], Any], ...]) -> Command:
    """``function`` with ``options``, whose values it gets as one argument ``name`` of the type ``into``."""

    @wraps(function)
    def wrapper(*args: Any, **arguments: Any) -> Any:
        mine = {field.name: arguments.pop(field.name) for field in fields(into) if field.name in arguments}
        return function(*args, **arguments, **{name: into(**mine)})

    result: Any = wrapper
    for option in reversed(options):
        result = option(result)
    return result  # type: ignore[no-any-return]  # click's decorators return what they are given

"""Saved plans: which file is one, writing it, and what goes with it on a command line."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from reconciler.cli.options import Choices, Target
from reconciler.model.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.engine.operations import Options
    from reconciler.manifest.loaded import LoadedManifest
    from reconciler.ownership.plan_file import SavedPlan

_CONSENTS: Final = ("targets", "excludes", "adopt", "allow_delete", "allow_data_loss", "max_deletes")


@dataclass(frozen=True, slots=True)
class Opened:
    """A saved plan and the manifest in it."""

    plan: SavedPlan
    loaded: LoadedManifest

    def options(self, choices: Choices) -> Options:
        """What it was saved with, and of ``choices`` what says how to run."""
        consents: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in self.plan.options.items()}
        return replace(choices.options(), **consents)


def is_saved(path: str) -> bool:
    """Whether a file is a saved plan, whole or damaged. Only a regular file is looked into: what is read from a pipe is gone."""
    from reconciler.ownership.plan_file import PEEK_BYTES, is_saved_plan

    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return False
        with Path(path).open("rb") as file:
            return is_saved_plan(file.read(PEEK_BYTES))
    except (OSError, ValueError):
        return False  # whoever reads the manifest says why


def opened(target: Target) -> Opened | None:
    """The saved plan that is to be applied, or None when there are manifests. Raises ReconcilerError for one that must not be used."""
    if not any(map(is_saved, target.files)):
        return None
    context = click.get_current_context()
    if len(target.files) > 1:
        raise click.UsageError("A saved plan is applied alone: it holds its manifest.", context)
    for parameter in context.command.params:
        if parameter.name in _CONSENTS and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"A saved plan holds its own consents: leave out {parameter.opts[0]}, or make the plan anew with it.", context)
    from reconciler.manifest.stored import restored
    from reconciler.ownership.plan_file import decode

    path = Path(target.files[0])
    try:
        plan = decode(path.read_bytes())
        return Opened(plan, restored(plan.manifest, path.parent))
    except ReconcilerError as error:
        raise ReconcilerError(f"{path} is a saved plan that must not be applied: {error}") from None


def check_place(out: Path, target: Target) -> None:
    """Raises UsageError for a place that would cost somebody a manifest."""
    given = os.path.realpath(out)
    if any(os.path.realpath(file) == given for file in target.files):
        raise click.BadParameter(f"{out} is the manifest itself.", click.get_current_context(), param_hint="--out")


def write(plan: SavedPlan, out: Path) -> None:
    """Write it where only its owner may read it. Raises ReconcilerError."""
    from reconciler.cli.reporting import write_privately
    from reconciler.manifest.stored import relative_to
    from reconciler.ownership.plan_file import encode

    try:
        write_privately(out, encode(replace(plan, manifest=relative_to(plan.manifest, out.parent))))
    except OSError as error:
        raise ReconcilerError(f"--out {out}: {error.strerror}") from None

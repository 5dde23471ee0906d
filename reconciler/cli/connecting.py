"""From the files or the name on the command line to open connections."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.logs import Log, open_log
from reconciler.cli.options import Output, Target
from reconciler.cli.streams import say
from reconciler.model.errors import ManifestError, ReconcilerError

if TYPE_CHECKING:
    from reconciler.engine.operations import Connections
    from reconciler.manifest.loaded import LoadedManifest


@contextmanager
def connected(
    target: Target, output: Output, timeout_s: float | None = None, loaded: LoadedManifest | None = None
) -> Iterator[tuple[Connections, Log]]:
    """Connections for the manifest, its warnings said, and the log. Nothing is connected before it is needed. ``loaded`` is one that was loaded."""
    loaded = loaded or load_target(target)
    from reconciler.cli.passwords import can_ask, this_node
    from reconciler.engine.operations import Connections

    log = open_log(output)
    try:
        log.info("manifest loaded", name=loaded.name, files=" ".join(target.files))
        with Connections(loaded, os.environ, timeout_s, log.of_a_system if log else None, this_node()) as connections:
            if can_ask():
                connections.prepare()  # a question now, and not into the middle of what is shown later
            yield connections, log
    finally:
        log.close()


def load_target(target: Target) -> LoadedManifest:
    """The manifest of the files, or one without entries for ``--name``. Warnings are said; mistakes are raised as ManifestError, all at once."""
    check(target)
    return _load(target.files) if target.files else _without_files(target)


def check(target: Target) -> None:
    """Raises UsageError when it is not said, or said twice, which manifest is meant."""
    if not target.files and target.name is None:
        raise click.UsageError("Missing FILE, or --name when the file is gone.", click.get_current_context())
    if target.files and (target.name is not None or target.connections is not None):
        raise click.UsageError("FILE excludes --name and --connections: those are for a manifest whose file is gone.", click.get_current_context())


def _load(files: tuple[str, ...]) -> LoadedManifest:
    from reconciler.cli.saved import is_saved
    from reconciler.manifest.loading import load

    for file in files:
        if is_saved(file):
            raise ReconcilerError(f"{file} is a saved plan, and no manifest: only reconciler apply takes one")
    try:
        loaded = load(files)
    except ManifestError as error:
        if error.sound is None:
            raise
        from reconciler.engine.observe import completed

        raise completed(error) from None
    for diagnostic in loaded.warnings:
        # The place first, as with mistakes, so that an editor finds it.
        say(str(replace(diagnostic, subject=f"warning: {diagnostic.subject}" if diagnostic.subject else "warning")))
    return loaded


def _without_files(target: Target) -> LoadedManifest:
    from reconciler.manifest.loading import load_text
    from reconciler.model.errors import ManifestError

    try:
        nameless = load_text(f"version: 1\nname: {json.dumps(target.name)}\n", Path.cwd())
    except ManifestError:
        raise click.BadParameter(f"{target.name!r} is not a manifest's name.", click.get_current_context(), param_hint="--name") from None
    if target.connections is None:
        return nameless
    connections = _load((target.connections,))
    return replace(connections, manifest=connections.manifest.model_copy(update={"name": target.name}))

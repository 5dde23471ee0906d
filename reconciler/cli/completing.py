"""What the shell asks while somebody types. It must be quick, and silent whatever is wrong: an error in the middle of a line helps nobody.

The shell sets ``_RECONCILER_COMPLETE`` and the line in ``COMP_WORDS``; the protocol, and the scripts, are click's.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class, split_arg_string

from reconciler.model.errors import ManifestError, ReconcilerError

if TYPE_CHECKING:
    from reconciler.manifest.loaded import LoadedManifest

VARIABLE: Final = "_RECONCILER_COMPLETE"

_PATIENCE_S: Final = 2.0
"""How long Consul may take: whoever presses the tabulator waits for it."""

_SEPARATORS: Final = {"bash": "\n", "zsh": " "}
"""What stands between the words of ``COMP_WORDS``; fish tells them in another way."""

_TYPED_AS_IT_IS: Final = re.compile(r"[A-Za-z0-9_@%+./:-]+")
"""Addresses that mean themselves to every shell. Others are not offered: the shell would run what stands in ``$(…)``, and anybody may name a key."""


def answer(group: click.Group) -> int:
    """Tell the shell what could stand at the cursor. Returns the exit code."""
    shell, _, _ = os.environ[VARIABLE].partition("_")
    with Path(os.devnull).open("w") as nowhere:
        before, sys.stderr = sys.stderr, nowhere
        try:
            found = _of(shell, group).complete()
        except Exception:  # noqa: BLE001  # whatever it is, it must not be said
            return 1
        finally:
            sys.stderr = before
    sys.stdout.write(f"{found}\n")
    sys.stdout.flush()
    return 0


def script(shell: str) -> str:
    """What the shell is to evaluate."""
    # Not the method of the class for bash, which runs a bash to see how old it is.
    return ShellComplete.source(_of(shell, click.Group()))


def manifest_addresses(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The addresses that the manifests on the line declare."""
    from reconciler.engine.observe import declare

    loaded = _manifest(ctx)
    return [] if loaded is None else _offered((str(address) for address in declare(loaded)), incomplete)


def owned_addresses(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The addresses of the ownership records: of the manifest on the line, or of all."""
    from reconciler.engine import custody
    from reconciler.engine.connections import Connections
    from reconciler.manifest.loading import load_text
    from reconciler.model.secret import Reference, Secret, SecretSource

    class Quick(Connections):
        """Connections for which no program is run and no archive opened."""

        def secret(self, source: SecretSource | Reference | Secret) -> Secret:
            if isinstance(source, SecretSource) and source.form in {"exec", "bootstrap_token"}:
                raise ReconcilerError("not for a completion")
            return super().secret(source)

    def ask() -> None:
        # In a thread of its own nobody else would catch it, and Python would say it.
        with suppress(Exception), Quick(manifest, os.environ, _PATIENCE_S) as connections:
            found.extend(str(record.address) for record in custody.owned(connections, name))

    found: list[str] = []
    loaded = _manifest(ctx)
    manifest, name = (load_text("version: 1\nname: all\n", Path.cwd()), _name(ctx)) if loaded is None else (loaded, loaded.name)
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE_S)
    return _offered(tuple(found), incomplete)


def a_file(incomplete: str) -> CompletionItem[str]:
    """A file, where no address fits; stands before the addresses, or bash would forget them."""
    return CompletionItem(incomplete, type="file")


def _manifest(ctx: click.Context) -> LoadedManifest | None:
    """What the manifests on the line say, as far as they can be read; the shell tells also what stands behind the cursor."""
    from reconciler.manifest.loading import load

    behind = [word for word in split_arg_string(os.environ.get("COMP_WORDS", "")) if word.endswith((".yaml", ".yml"))]
    files = list(dict.fromkeys([*(ctx.params.get("files") or ()), *behind]))
    files = [file for file in files if Path(file).is_file()]
    try:
        return load(files) if files else None
    except ManifestError as error:
        from reconciler.manifest.loaded import LoadedManifest

        return error.sound if isinstance(error.sound, LoadedManifest) else None


def _name(ctx: click.Context) -> str | None:
    words = split_arg_string(os.environ.get("COMP_WORDS", ""))
    given = ctx.params.get("name") or next((after for word, after in pairwise(words) if word == "--name"), None)
    return None if given is None else str(given)


def _offered(addresses: Iterable[str], incomplete: str) -> list[CompletionItem[str]]:
    return [CompletionItem(a) for a in sorted(set(addresses)) if a.startswith(incomplete) and _TYPED_AS_IT_IS.fullmatch(a)]


def _of(shell: str, group: click.Group) -> ShellComplete:
    known = get_completion_class(shell)
    if known is None:
        raise ReconcilerError(f"{shell} is not supported")
    asked = known(group, {}, "reconciler", VARIABLE)
    if shell in _SEPARATORS:
        vars(asked)["get_completion_args"] = lambda: _before_the_cursor(_SEPARATORS[shell])
    return asked


def _before_the_cursor(separator: str) -> tuple[list[str], str]:
    """The words before the one at the cursor, and that one.

    click loses a word that is still empty when others stand behind it, and takes the ``=`` that bash makes a word of its own for a value.
    """
    line, at = os.environ["COMP_WORDS"], int(os.environ["COMP_CWORD"])
    quoted = separator == " " and any(mark in line for mark in "'\"\\")
    words = split_arg_string(line) if quoted else [next(iter(split_arg_string(word)), "") for word in line.split(separator)]
    before = [word for previous, word in pairwise(words[:at]) if not (word == "=" and previous.startswith("--"))]
    return before, words[at] if at < len(words) else ""

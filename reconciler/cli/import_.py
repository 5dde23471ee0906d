"""``reconciler import``."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.connecting import connected
from reconciler.cli.options import Choices, Output, Target, takes_choices, takes_looks
from reconciler.cli.progress import status_line
from reconciler.cli.streams import emit, say, warn

if TYPE_CHECKING:
    from reconciler.importing.request import Imported, Request

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_DEFAULT_NAME: Final = "imported"


@click.command(
    "import",
    short_help="Write a manifest for what is live.",
    epilog="""\b
Examples:
  reconciler import > everything.yaml
  reconciler import --service carbonio-files-db --out carbonio-files-db.yaml
  reconciler import 'kv/carbonio-files/*' 'config-entry/*/carbonio-files*'
  reconciler import --kind acl-token --token-file '/etc/carbonio/*/service-discover/token'
  reconciler import --from-files /etc/carbonio""",
)
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1)
@click.option("--kind", "kinds", metavar="KIND", multiple=True, help="Only resources of this kind, such as acl-policy.")
@click.option("--service", "services", metavar="NAME", multiple=True, help="Only this service, with all that belongs to it.")
@click.option("--name", metavar="NAME", help="Name of the manifest; by default that of the only --service, or `imported`.")
@click.option("--owned-too", is_flag=True, help="Also what other manifests own.")
@click.option("--from-files", "directory", metavar="DIR", type=click.Path(path_type=Path), help="Read *.hcl and *.json there, and no server.")
@click.option("--token-file", "token_files", metavar="PATH", multiple=True, help="A file here that holds a token; * stands for any characters.")
@click.option("--connections", metavar="FILE", type=click.Path(readable=False), help="A manifest whose connections are used.")
@click.option("--out", "path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, readable=False), help="Write to FILE (mode 0600).")
@click.option("--force", is_flag=True, help="With --out: replace FILE when it exists.")
@takes_choices("timeout")
@takes_looks
def command(
    addresses: tuple[str, ...], kinds: tuple[str, ...], services: tuple[str, ...], name: str | None, directory: Path | None,
    token_files: tuple[str, ...], connections: str | None, path: Path | None, choices: Choices, output: Output, *, owned_too: bool, force: bool,
) -> None:  # fmt: skip
    """Write a manifest for what is live, whose plan has nothing but adoptions.

    ADDRESS may hold *, which stands for any characters, / too. Secrets are never written: where one belongs, the manifest refers to the KV entry
    that holds it, or to an environment variable to be set. What is built in, node-local services, and what other manifests own is left out.
    """
    _check(kinds, directory, connections, path, token_files, force=force)
    from reconciler.importing.request import Request

    name = _manifest_name(name, services)
    request = Request(name, kinds, addresses, services, owned_too, _base(connections), token_files)
    imported = _from_files(directory, request) if directory is not None else _from_live(request, connections, choices, output)
    _write(imported, path)
    _explain(imported)


def _check(
    kinds: tuple[str, ...], directory: Path | None, connections: str | None, path: Path | None, token_files: tuple[str, ...], *, force: bool
) -> None:  # fmt: skip
    context = click.get_current_context()
    from reconciler.importing.operations import importable_kinds

    known = importable_kinds()
    for kind in kinds:
        if kind not in known:
            raise click.BadParameter(f"{kind!r} is not one of {', '.join(known)}.", context, param_hint="--kind")
    if directory is not None and connections is not None:
        raise click.UsageError("--from-files excludes --connections: no server is asked.", context)
    if directory is not None and token_files:
        raise click.UsageError("--from-files excludes --token-file: whose token it is, Consul would have to say.", context)
    if directory is not None and not directory.is_dir():
        raise click.BadParameter(f"{directory} is not a folder.", context, param_hint="--from-files")
    if force and path is None:
        raise click.UsageError("--force goes with --out.", context)
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}.", context, param_hint="--out")
    if path is not None and path.exists() and not force:
        raise click.UsageError(f"{path} exists: choose another file, or give --force.", context)


def _manifest_name(name: str | None, services: tuple[str, ...]) -> str:
    if name is None:
        return services[0] if len(services) == 1 and _NAME.fullmatch(services[0]) else _DEFAULT_NAME
    if not _NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r} is not a manifest's name.", click.get_current_context(), param_hint="--name")
    return name


def _base(connections: str | None) -> tuple[tuple[str, str], ...]:
    if connections is None:
        return ()
    from reconciler.manifest.reading import read

    return ((connections, read(Path(connections))),)


def _from_files(directory: Path, request: Request) -> Imported:
    from reconciler.importing.operations import import_files

    return import_files(directory, request)


def _from_live(request: Request, connections: str | None, choices: Choices, output: Output) -> Imported:
    target = Target(name=request.name, connections=connections)
    with connected(target, output, choices.timeout_s) as (open_connections, log), status_line(output) as line:
        from reconciler.importing.operations import import_live

        line.show("Reading what is live…", at_once=True)
        imported = import_live(open_connections, request)
        log.info("imported", resources=imported.taken, left_out=len(imported.left_out))
    return imported


def _write(imported: Imported, path: Path | None) -> None:
    """To standard output, or to a file that nobody else can read, put there whole."""
    if path is None:
        emit(imported.text)
        return
    try:
        _put(imported.text, path)
    except OSError as error:
        from reconciler.model.errors import ReconcilerError

        raise ReconcilerError(f"{path} cannot be written: {error.strerror}") from None


def _put(text: str, path: Path) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _explain(imported: Imported) -> None:
    from reconciler.importing.request import listed

    for warning in imported.warnings:
        warn(warning)
    if imported.left_out:
        say("left out:")
        for line in listed(imported.left_out):
            say(f"  {line}")
    if imported.variables:
        say("to be set for plan and apply:")
        for variable, needed in imported.variables:
            say(f"  {variable}: {needed.what}")
    say(f"{imported.taken} {'resource' if imported.taken == 1 else 'resources'} written.")

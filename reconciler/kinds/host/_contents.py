"""What is to be in a file that the manifest gives."""

from __future__ import annotations

from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import HostFile
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError
from reconciler.model.resource import Place
from reconciler.model.secret import Secret
from reconciler.model.value import Value


def content_of(file: HostFile, manifest: LoadedManifest, place: Place) -> Value:
    """Text, a secret, or the reference to one. Raises ManifestError when a source or template cannot be read or filled in."""
    if file.content is not None:
        return Secret(file.content) if isinstance(file.content, str) and file.is_masked else file.content
    path = file.source or file.template
    assert path is not None
    try:
        text = manifest.source(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise _mistake(file, place, f"cannot read {path}: {(error.strerror or str(error)).lower()}", "create it, or correct the path") from None
    text = _filled(file, manifest, text, place) if file.template is not None else text
    return Secret(text) if file.is_masked else text


def _filled(file: HostFile, manifest: LoadedManifest, text: str, place: Place) -> str:
    from jinja2 import StrictUndefined, TemplateError  # imported late: few manifests have a template
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.from_string(text).render(file.values or {}, manifest=manifest.name, host=file.host, path=file.path)
    except TemplateError as error:
        line: int | None = getattr(error, "lineno", None)
        what = f"has a template that cannot be filled in{f' in line {line}' if line else ''}: {error.message}"
        raise _mistake(file, place, what, "correct the template, or its values") from None


def _mistake(file: HostFile, place: Place, what: str, what_to_do: str) -> ManifestError:
    return ManifestError([Diagnostic(place, f"file/{file.host}{file.path}", what, what_to_do)])

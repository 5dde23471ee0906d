"""Every secret that lies outside the live systems, the token in a cluster archive included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reconciler.model.secret import Secret, SecretSource
from reconciler.systems import secret_sources


def resolve(source: SecretSource, directory: Path, environ: Mapping[str, str]) -> Secret:
    """The secret behind a reference; see :func:`reconciler.systems.secret_sources.resolve`. Raises ReconcilerError."""
    if source.form != "bootstrap_token":
        return secret_sources.resolve(source, directory, environ)
    from reconciler.credentials.opening import read_sealed, unseal, within  # imported late: few manifests have one

    path = directory / source.argument["file"]
    sealed = read_sealed(path)
    password = source.argument["password"]
    return within(path, unseal(sealed, password if isinstance(password, Secret) else resolve(password, directory, environ), path))

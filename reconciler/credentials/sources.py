"""Every secret that lies outside the live systems, the token in a cluster archive included."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from reconciler.model.secret import Secret, SecretSource
from reconciler.systems import secret_sources


def digest_of(sealed: bytes) -> str:
    """By which one archive is told from another as it lies there, encrypted."""
    return f"sha256:{hashlib.sha256(sealed).hexdigest()}"


def resolve(source: SecretSource, directory: Path, environ: Mapping[str, str]) -> Secret:
    """The secret behind a reference; see :func:`reconciler.systems.secret_sources.resolve`. Raises ReconcilerError."""
    if source.form not in ("bootstrap_token", "digest"):
        return secret_sources.resolve(source, directory, environ)
    from reconciler.credentials.opening import read_sealed, unseal, within  # imported late: few manifests have one

    if source.form == "digest":
        return Secret(digest_of(read_sealed(directory / source.argument)))
    path = directory / source.argument["file"]
    sealed = read_sealed(path)
    password = source.argument["password"]
    return within(path, unseal(sealed, password if isinstance(password, Secret) else resolve(password, directory, environ), path))

"""Cluster archives: made of marked parts, by this program and by gpg; and the one that Carbonio's own code has written, where it is at hand."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.credentials.archive import ACL_TOKEN, CA, CA_KEY, GOSSIP_KEY
from reconciler.model.secret import Secret
from reconciler.systems import openpgp
from tests.importing.made_by_others import CASES
from tests.servers.certificates import two_pairs

PASSWORD = "correct horse ü"
MADE_ELSEWHERE = CASES / "credentials"

IS_DEMANDED = "gpg" in os.environ.get("RECONCILER_TEST_DEMANDS", "").split()
"""Whether a machine without gpg fails the tests; ``.ci/run`` says so."""
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None and not IS_DEMANDED, reason="there is no gpg here")
needs_the_case = pytest.mark.skipif(not MADE_ELSEWHERE.is_dir(), reason="the cases are not at hand")


def contents(secret_id: str | None = None, pair: int = 0) -> dict[str, bytes]:
    """The four members, with made-up secrets."""
    token = {"AccessorID": str(uuid.uuid4()), "SecretID": secret_id or str(uuid.uuid4()), "Local": False}
    ca = two_pairs()[pair]
    return {
        GOSSIP_KEY: base64.b64encode(os.urandom(32)),
        ACL_TOKEN: json.dumps(token).encode(),
        CA: f"{ca.certificate}\n".encode(),
        CA_KEY: f"{ca.key}\n".encode(),
    }


def tar(members: Mapping[str, bytes | tarfile.TarInfo], **options: Any) -> bytes:
    """A tar of files by name, or of entries as they are."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=options.pop("format", tarfile.USTAR_FORMAT), **options) as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content, io.BytesIO(b"x" * content.size))
                continue
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def sealed(content: bytes, password: str = PASSWORD) -> bytes:
    """Encrypted as the program does it."""
    return openpgp.encrypt(content, Secret(password))


def write(folder: Path, members: Mapping[str, bytes], password: str = PASSWORD) -> Path:
    """An archive on disk."""
    path = folder / "cluster-credentials.tar.gpg"
    path.write_bytes(sealed(tar(members), password))
    path.chmod(0o600)
    return path


def gpg(*arguments: str, content: bytes, password: str = PASSWORD) -> bytes:
    """What gpg makes of ``content``."""
    # a folder of its own with a short name: the agent that gpg starts has a socket in it
    with tempfile.TemporaryDirectory(prefix="gpg") as home:
        secret = Path(home, "password")
        secret.write_text(password)
        options = ["--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase-file", str(secret)]
        try:
            return subprocess.run(["gpg", *options, *arguments], input=content, capture_output=True, check=True, timeout=60).stdout
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False, capture_output=True)


AS_SERVICE_DISCOVER = (
    *("--armor", "--symmetric", "--cipher-algo", "AES256", "--s2k-mode", "3", "--s2k-digest-algo", "SHA256"),
    *("--s2k-count", "16777216", "--compress-algo", "none"),
)
"""The options of gpg that come nearest to what service-discover writes."""

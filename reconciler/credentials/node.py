"""The node of a mesh that this program runs on: where it keeps the cluster archive, and how the token is had from there when nobody gave one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret, SecretSource

if TYPE_CHECKING:
    from reconciler.credentials.archive import Archive
    from reconciler.systems.openpgp import WrongPassword

ARCHIVE: Final = Path("/etc/zextras/service-discover/cluster-credentials.tar.gpg")
PASSWORD_FILE: Final = Path("/var/lib/service-discover/password")
CONFIGURATION: Final = Path("/etc/zextras/service-discover/main.json")
CA: Final = Path("/var/lib/service-discover/consul-agent-ca.pem")
CA_KEY: Final = Path("/var/lib/service-discover/consul-agent-ca-key.pem")


@dataclass(frozen=True, slots=True)
class MeshNode:
    """``ask`` asks the person at the terminal for the password of an archive, None when the answer is empty; None where there is nobody to ask."""

    archive: Path = ARCHIVE
    password_file: Path = PASSWORD_FILE
    ask: Callable[[Path], Secret | None] | None = None

    def password(self) -> Secret | None:
        """The one that set-up left on this node, where it may be read. Raises ReconcilerError for one that is no text."""
        if not os.access(self.password_file, os.R_OK):
            return None
        from reconciler.systems.secret_sources import resolve

        return resolve(SecretSource("file", str(self.password_file)), Path(), {})

    def token(self) -> tuple[Secret, str] | None:
        """The bootstrap token of this node's archive and where it came from; None where there is no archive, or no password for it.

        Raises ReconcilerError when there are both and it cannot be opened.
        """
        if not os.access(self.archive, os.R_OK):
            return None
        from reconciler.credentials.opening import read_sealed, within

        try:
            archive = self._opened(read_sealed(self.archive))
            return (within(self.archive, archive), str(self.archive)) if archive is not None else None
        except ReconcilerError as error:
            raise ReconcilerError(f"no Consul token was given, and {error}; or set consul.token or CONSUL_HTTP_TOKEN") from None

    def _opened(self, sealed: bytes) -> Archive | None:
        """The archive; None where there is no password. The one that set-up left may be that of an archive before."""
        from reconciler.credentials.opening import unseal
        from reconciler.systems.openpgp import WrongPassword

        left = self.password()
        if left is not None:
            try:
                return unseal(sealed, left, self.archive)
            except WrongPassword as error:
                if self.ask is None:
                    raise self.left_over(error) from None
        typed = self.ask(self.archive) if self.ask is not None else None
        return unseal(sealed, typed, self.archive) if typed is not None else None

    def left_over(self, error: WrongPassword) -> WrongPassword:
        """The same, when the password was the one that set-up left: what to do about that."""
        return type(error)(f"{error} in {self.password_file}, or remove that file")

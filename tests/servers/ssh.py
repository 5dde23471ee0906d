"""How the program under test reaches a test machine: by an ssh_config of the test's own, named in RECONCILER_SSH_CONFIG."""

from __future__ import annotations

from pathlib import Path

from tests.servers.machine import Machine


def ssh_config(machine: Machine, folder: Path) -> Path:
    """The path of one with the keys of ``machine``, written into ``folder``; for every destination, since there are no others in a test."""
    file = folder / "ssh_config"
    lines = [
        "Host *",
        f"HostName {machine.address}",
        f"IdentityFile {machine.identity_file}",
        "IdentitiesOnly yes",
        f"UserKnownHostsFile {machine.known_hosts}",
        f"Port {machine.ssh_port}",
    ]
    file.write_text("\n  ".join(lines) + "\n")
    return file

"""The program on a node of a mesh whose files are in another folder: ``python -m tests.e2e.on_a_mesh_node FOLDER plan …``."""

from __future__ import annotations

import sys
from pathlib import Path

from reconciler.cli.main import main
from reconciler.credentials import node

ARCHIVE = "cluster-credentials.tar.gpg"
PASSWORD_FILE = "password"

if __name__ == "__main__":
    folder = Path(sys.argv.pop(1)).absolute()
    vars(node).update(ARCHIVE=folder / ARCHIVE, PASSWORD_FILE=folder / PASSWORD_FILE, CONFIGURATION=folder / "main.json")
    vars(node).update(CA=folder / "consul-agent-ca.pem", CA_KEY=folder / "consul-agent-ca-key.pem")
    sys.exit(main())

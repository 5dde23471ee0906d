"""Passwords that a person types, and this node's cluster archive, for which one may be asked."""

from __future__ import annotations

from pathlib import Path

from reconciler.cli.approval import can_ask
from reconciler.credentials import node
from reconciler.model.secret import Secret
from reconciler.report.characters import visible

__all__ = ["can_ask", "this_node", "typed"]


def this_node() -> node.MeshNode:
    """The node that this runs on. Only on a terminal a password is asked for."""
    return node.MeshNode(node.ARCHIVE, node.PASSWORD_FILE, _of_archive if can_ask() else None)


def typed(prompt: str) -> str:
    """What is typed at the terminal, unseen; empty for nothing."""
    from getpass import getpass  # imported late: hardly ever needed

    try:
        return getpass(prompt)
    except EOFError:
        return ""


def _of_archive(archive: Path) -> Secret | None:
    text = typed(f"No Consul token was given. Password of {visible(str(archive))} (empty: go on without a token): ")
    return Secret(text) if text else None

"""What to type next: commands that can be copied as they stand into the shell of whoever reads a refusal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from reconciler.model.address import Address


def quoted(address: Address) -> str:
    """The address for a shell, always in quotes, because it may hold a ``*`` or a space."""
    return "'" + str(address).replace("'", "'\"'\"'") + "'"


def to_adopt(address: Address, files: Sequence[str]) -> str:
    """How to take over what exists and differs; without the manifest's files only the option."""
    if not files:
        return f"to take it over and change it: --adopt {quoted(address)}"
    given = shlex.join(files)
    return (
        f"to take it over and change it: reconciler apply --adopt {quoted(address)} {given}"
        f" (to take it over as it is for now: reconciler owned adopt {quoted(address)} {given})"
    )


def to_transfer(address: Address, owner: str, files: Sequence[str]) -> str:
    """How to get what another manifest owns."""
    remove = f"remove it from one of the two manifests (reconciler owned show {quoted(address)} --name {owner})"
    return f"{remove}, or move it here: reconciler owned transfer {quoted(address)} --from {owner} {shlex.join(files)}" if files else remove

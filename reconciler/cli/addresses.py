"""Addresses and files on one command line."""

from __future__ import annotations

from collections.abc import Iterable


def told_apart(arguments: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The addresses and the files: an address begins with the name of a kind and a slash, or has a ``*``; whatever exists does not matter.

    A file in a folder with the name of a kind is written ``./kv/mesh.yaml``.
    """
    from reconciler.kinds import all_kinds

    given = tuple(arguments)
    kinds = tuple(f"{name}/" for name in all_kinds())
    addresses = tuple(a for a in given if a.startswith(kinds) or "*" in a)
    return addresses, tuple(a for a in given if a not in addresses)

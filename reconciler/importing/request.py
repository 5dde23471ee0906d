"""What is asked for, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.model.importing import Needed


@dataclass(frozen=True, slots=True)
class Request:
    """Which resources, and what the manifest is called.

    Each choice that is made narrows what is taken: ``kinds`` by name, ``globs`` of addresses, ``services`` with all that belongs to them.
    ``owned_too``: also what other manifests own. ``base`` are files (name and text) that the manifest will be merged over. ``token_files`` are paths
    on this machine, which may hold ``*``, of files in which tokens are looked for.
    """

    name: str
    kinds: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    owned_too: bool = False
    base: tuple[tuple[str, str], ...] = ()
    token_files: tuple[str, ...] = ()

    def may_want(self, kind: str) -> bool:
        """Whether anything of this kind can be chosen."""
        if self.kinds and kind not in self.kinds:
            return False
        return not self.globs or any(_may_begin(glob.partition("*")[0], f"{kind}/", is_whole="*" not in glob) for glob in self.globs)


@dataclass(frozen=True, slots=True)
class Imported:
    """A manifest's text. ``taken`` counts its resources.

    ``variables`` are the environment variables that it refers to, by name; ``left_out`` are resources and why; ``warnings`` are about the whole.
    """

    text: str
    taken: int
    variables: tuple[tuple[str, Needed], ...]
    left_out: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def listed(left_out: Iterable[tuple[str, str]]) -> list[str]:
    """What is left out, for people: what has one reason stands under it, so that it is said once."""
    whats: dict[str, list[str]] = {}
    for what, why in sorted(left_out):
        whats.setdefault(why, []).append(what)
    lines: list[str] = []
    for why, each in whats.items():
        lines += [f"{each[0]}: {why}"] if len(each) == 1 else [f"{why}:", *(f"  {what}" for what in each)]
    return lines


def _may_begin(literal: str, beginning: str, *, is_whole: bool) -> bool:
    return literal.startswith(beginning) or (not is_whole and beginning.startswith(literal))

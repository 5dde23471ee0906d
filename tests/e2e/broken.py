"""The program with a mistake in one place, whose exception quotes all the secrets that are at hand: ``python -m tests.e2e.broken PLACE apply …``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from reconciler.cli.main import main
from reconciler.kinds import all_kinds
from reconciler.model.secret import Secret

PLACES: Mapping[str, tuple[str, str]] = {
    "a role is created": ("db-role", "create"),
    "a token's file is written": ("file", "create"),
    "an entry is turned into operations": ("kv", "create_operations"),
    "roles are read": ("db-role", "read"),
}


def secrets_in(value: Any) -> list[str]:
    """What an author without care would quote: everything in the order, or in the manifest."""
    if isinstance(value, Secret):
        return [value.reveal()]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in secrets_in(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in secrets_in(inner)]
    return [text for name in ("fields", "desired", "connection", "settings") if hasattr(value, name) for text in secrets_in(getattr(value, name))]


def breaking(real: Callable[..., Any]) -> Callable[..., NoReturn]:
    """In place of ``real``: fails, quoting its arguments in the usual ways, with a cause that quotes them too."""

    def fail(_: Any, *arguments: Any) -> NoReturn:
        found = secrets_in(list(arguments))
        try:
            raise ValueError(f"{real.__name__} does not understand {found!r}")
        except ValueError as cause:
            raise RuntimeError("cannot go on with " + " and ".join(found), found) from cause

    return fail


if __name__ == "__main__":
    kind, method = PLACES[sys.argv.pop(1)]
    broken: Any = type(all_kinds()[kind])
    setattr(broken, method, breaking(getattr(broken, method)))
    sys.exit(main())

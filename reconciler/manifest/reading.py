"""A manifest's file as text."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reconciler.manifest.tree import place, spot_at
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError

MAX_BYTES: Final = 16 * 1024 * 1024
"""A larger file is refused without being read to its end."""


def read(path: Path) -> str:
    """The text of a manifest. Raises ManifestError with what to do."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise _refused(path, "is a folder", "give the path of a manifest") from None
    except FileNotFoundError:
        raise _refused(path, "does not exist", "give the path of a manifest") from None
    except PermissionError:
        raise _refused(path, "may not be read by this user", "change its permissions, or run as another user") from None
    except (OSError, ValueError) as error:
        raise _refused(path, f"cannot be read ({getattr(error, 'strerror', None) or error})", "give the path of a manifest") from None
    if len(content) > MAX_BYTES:
        raise _refused(path, f"is larger than {MAX_BYTES // 1024 // 1024} MiB", "is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        spot = spot_at(before, len(before), str(path))
        raise ManifestError([Diagnostic(place(spot), "", "is not UTF-8", "save the file in UTF-8")]) from None


def _refused(path: Path, what: str, what_to_do: str) -> ManifestError:
    return ManifestError([Diagnostic(None, str(path), what, what_to_do)])

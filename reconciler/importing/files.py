"""What is in files of Consul's own, kind by kind, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reconciler.kinds import all_kinds
from reconciler.model.address import Address
from reconciler.model.errors import ReconcilerError
from reconciler.model.importable import DiscerningKind, FiledKind
from reconciler.model.resource import Live

SUFFIXES: Final = (".hcl", ".json")
_NOTHING: Final = "no ACL policy, no config entry and no registration of an external service in it"


def in_files(directory: Path) -> tuple[dict[Address, Live], list[tuple[str, str]]]:
    """The resources in the files below ``directory``, and what of them is left out, and why. Raises ReconcilerError when it cannot be read."""
    live: dict[Address, Live] = {}
    left_out: list[tuple[str, str]] = []
    files = list(_files(directory))
    if not files:
        raise ReconcilerError(f"{directory} has no *{' and no *'.join(SUFFIXES)}")
    for path in files:
        name = str(path.relative_to(directory))
        read = list(_in_file(path, name, left_out))
        twice = [one.address for one in read if one.address in live and not _is_same(live[one.address], one)]
        left_out += [(f"{address} in {name}", "another file says something else of it") for address in twice]
        live |= {one.address: one for one in read if one.address not in live}
    return live, left_out


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise ReconcilerError(f"{directory}: {error.strerror}") from None


def _in_file(path: Path, name: str, left_out: list[tuple[str, str]]) -> Iterator[Live]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        found = [one for kind in all_kinds().values() if isinstance(kind, FiledKind) for one in kind.in_file(name, text)]
    except OSError as error:
        left_out.append((name, f"cannot be read ({error.strerror})"))
        return
    except UnicodeDecodeError:
        left_out.append((name, "is not UTF-8"))
        return
    except ValueError as error:
        left_out.append((name, f"is neither HCL nor JSON ({error})"))
        return
    if not found:
        left_out.append((name, _what_it_is(text)))
    yield from found


def _is_same(one: Live, other: Live) -> bool:
    return dict(one.fields) == dict(other.fields)


def _what_it_is(text: str) -> str:
    if not text.strip():
        return "empty"
    known = (kind.what_else(text) for kind in all_kinds().values() if isinstance(kind, DiscerningKind))
    return next(filter(None, known), _NOTHING)

"""What a kind tells ``import``, when a manifest can be written from what is live of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from reconciler.model.address import Address
from reconciler.model.importing import Expression, Found
from reconciler.model.kind import Kind
from reconciler.model.record import Record
from reconciler.model.resource import Live


@runtime_checkable
class ImportableKind(Kind, Protocol):
    """A kind of which a manifest can be written from what is live."""

    def find(self, system: Any) -> Iterable[Live]:
        """Everything of this kind that somebody might want to manage, in bulk; ``system`` as for ``read``.

        What is built in, or made by the system itself, is not found.
        """
        ...

    def express(self, live: Live, found: Found) -> Expression | None:
        """The entry that says what ``live`` is and no more; None for what only the entries of other resources say."""
        ...


@runtime_checkable
class PointedKind(ImportableKind, Protocol):
    """A kind that cannot be searched for: what is looked at must be named."""

    def find_at(self, system: Any, addresses: Iterable[Address]) -> Iterable[Live]:
        """What there is of these; ``system`` as for ``read``."""
        ...

    def is_told(self, record: Record) -> bool:
        """Whether an entry can say what has this record."""
        ...

    def remark(self, entries: Iterable[Expression]) -> str:
        """What to tell people about what was not named, in view of the entries that are written; may be empty."""
        ...


@runtime_checkable
class FiledKind(ImportableKind, Protocol):
    """A kind that is also kept in files of Consul's own."""

    def in_file(self, file: str, text: str) -> Iterable[Live]:
        """The resources of this kind in the text of one file, nothing when it holds none. Raises ValueError when it cannot be read at all."""
        ...


@runtime_checkable
class DiscerningKind(FiledKind, Protocol):
    """A kind that knows files which are often taken for its own."""

    def what_else(self, text: str) -> str:
        """What a file is that holds nothing of any kind, in words; empty when that is not known. Raises ValueError as :meth:`in_file`."""
        ...

"""A mistake or a warning, with its place."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.resource import Place


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """``file:line:column: address: what is wrong: what to do``. ``subject`` is an address or the dotted path of a setting, or empty."""

    place: Place | None
    subject: str
    what: str
    what_to_do: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place) if self.place else "", self.subject, self.what, self.what_to_do) if part)

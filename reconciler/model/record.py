"""What is remembered of a resource that this tool made or adopted. It holds no secret and nothing derived from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model.address import Address
from reconciler.model.resource import OnRemoval, System
from reconciler.model.value import JSON, Value


class State(StrEnum):
    """``claiming``: about to be created, or created and not yet confirmed. ``owned``: ours."""

    CLAIMING = "claiming"
    OWNED = "owned"


class Origin(StrEnum):
    """How it became ours."""

    CREATED = "created"
    ADOPTED = "adopted"


@dataclass(frozen=True, slots=True)
class Record:
    """The ownership of one resource.

    ``address`` names the server or host as the manifest does now, or by the system's identity when it names none. ``specification`` is the
    last-applied one without secrets (texts over 4 KiB as :class:`~reconciler.model.value.Digest`). ``needs`` are keys of records.
    ``key`` is the KV key it is stored under, ``created_index`` and ``modify_index`` are that key's. ``witness`` is that of the live resource
    at our last write. ``superseded`` are incarnations that are still to be deleted; as long as there are any, what they need is in ``needs`` too.
    ``holds``: of what is replaced by making another, and whose secret was written into this, which one it was: its record's key and incarnation.
    """

    key: str
    address: Address
    system: System | None
    system_identity: str
    owner: str
    label: str
    state: State
    origin: Origin
    incarnation: str | None
    specification: Mapping[str, Value]
    witness: JSON
    on_removal: OnRemoval | None
    protect: bool
    needs: tuple[str, ...]
    superseded: tuple[str, ...]
    run: str
    written: str
    created_index: int = 0
    modify_index: int = 0
    holds: Mapping[str, str] = field(default_factory=dict)

    @property
    def removal(self) -> OnRemoval:
        """What happens when the entry is gone."""
        return removal_of(self.on_removal, self.origin)


def removal_of(on_removal: OnRemoval | None, origin: Origin) -> OnRemoval:
    """What happens when an entry is gone: as the manifest says, else what was created is deleted and what was adopted is retained."""
    return on_removal or (OnRemoval.DELETE if origin is Origin.CREATED else OnRemoval.RETAIN)

"""The smallest rights with which a manifest can be planned or applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.model.value import JSON

WHO: Final = "reconciler"
"""What a role is called in statements; any name will do."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a role in Postgres must have: ``attributes``, statements that give it what is known without looking, and in words what is not."""

    attributes: tuple[str, ...]
    grants: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rights:
    """``rules`` of an ACL policy as Consul takes them in JSON. ``postgres`` are roles, by the server's name in the manifest."""

    rules: Mapping[str, JSON]
    postgres: Mapping[str, Role]

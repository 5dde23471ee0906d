"""Roles as entries of a manifest. A password is a reference: to the KV entry that holds it, or else to an environment variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler.model.importing import Expression, Found, Needed, variable
from reconciler.model.resource import Live
from reconciler.model.secret import Hidden, Verifies

_USER_WORDS: Final = ("user", "role", "login", "owner")


def expressed(live: Live, found: Found, fields: Mapping[str, Any]) -> Expression:
    """The entry of a role; ``fields`` are what there is to say of it."""
    server, name = live.address.segments
    keys = found.keys_with(name, _USER_WORDS)
    label, said = found.label(server, name)
    body = {**said, **{key: value for key, value in fields.items() if key != "password"}}
    password = live.fields.get("password")
    holder = found.holder_of(password, name) if isinstance(password, Verifies) else None
    notes: tuple[str, ...] = ()
    if isinstance(password, Hidden):
        notes = (f"its password, if it has one, is not said: {password.why}",)
    elif holder is not None:
        body["password"] = {"kv": holder.segments[0]}
    elif password is not None:
        body["password"] = Needed(variable("role", name, "password"), f"the password of {live.address}")
    held = (holder,) if holder is not None else ()
    return Expression(("db_roles",), label, body, (name,), (*keys, *held), held, notes=notes)

"""Plans made by hand."""

from __future__ import annotations

from typing import Any

from reconciler.model.address import Address
from reconciler.model.change import Action, Change, FieldChange, Plan, Reason, Refusal
from reconciler.model.outcome import ChangeOutcome, Outcome, Status
from reconciler.model.resource import CONSUL, Dependant, Desired, Live, OnRemoval, Place, System
from reconciler.model.secret import Generate
from reconciler.model.value import Semantic

SECRET = "hunter2-correct-horse"
POSTGRES = System("postgres", "database-node")


def address(text: str) -> Address:
    kind, *segments = text.split("/", 1)
    return Address.of(kind, *segments)


def desired(text: str, fields: dict[str, Any], **more: Any) -> Desired:
    return Desired(address(text), CONSUL, fields, text, Place("mesh.yaml", 3, 5), **more)


def change(text: str, action: Action, *reasons: Reason, **more: Any) -> Change:
    return Change(address(text), action, CONSUL, reasons, **more)


def update(*fields: FieldChange, reasons: tuple[Reason, ...] = (Reason.MANIFEST,), **more: Any) -> Change:
    return change("kv/app/name", Action.UPDATE, *reasons, fields=fields, **more)


def plan(*changes: Change, **more: Any) -> Plan:
    return Plan("mesh", changes, **more)


def rules(text: str) -> Semantic:
    return Semantic({"text": text}, text, text)


RULES = 'key_prefix "app/" {\n  policy = "read"\n}\n'

TYPICAL = plan(
    change("kv/app/url", Action.FORGET, Reason.REMOVED, Reason.RETAINED),
    change("kv/app/password", Action.CREATE, Reason.NEW, desired=desired("kv/app/password", {"value": Generate(16, "hex")})),
    change("kv/app/old", Action.DELETE, Reason.REMOVED),
    change("kv/app/older", Action.DELETE, Reason.REMOVED),
    change(
        "database/files", Action.DELETE, Reason.REMOVED,
        live=Live(address("database/files"), {}, dependants=(Dependant("12 tables, 3.4 MB"),)),
    ),
    change(
        "acl-policy/app", Action.UPDATE, Reason.MANIFEST, Reason.DRIFTED,
        fields=(
            FieldChange(("description",), "by hand", "Policy for app", drifted=True),
            FieldChange(("rules",), rules(RULES), rules(RULES.replace("read", "write")), manifest=True),
        ),
    ),
    change(
        "acl-token/app", Action.REPLACE, Reason.MANIFEST,
        fields=(FieldChange(("policies",), ["app", "old"], ["app", "new"]),), deletes_superseded=("5d0c6f3a",),
    ),
    change("config-entry/proxy-defaults", Action.ADOPT, Reason.ADOPTED, removal=OnRemoval.RETAIN),
    change("kv/app/zone", Action.RECORD, Reason.MANIFEST),
)  # fmt: skip

REFUSED = plan(*TYPICAL.changes, refusals=(Refusal("protected", address("kv/app/old"), "is protected", "owned unprotect"),))
DONE = Outcome(tuple(ChangeOutcome(change, Status.APPLIED) for change in TYPICAL.changes))
FAILED = Outcome((ChangeOutcome(TYPICAL.changes[0], Status.FAILED, "boom"), *DONE.results[1:]))

"""References replaced by what they will mean after the plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.model.secret import GENERATED_AT_APPLY, KNOWN_AFTER_APPLY, Generate, Hidden, Pending, Reference, Secret
from reconciler.model.value import ABSENT, Value, replaced

LookUp = Callable[[Reference], Value]


def settle(fields: Mapping[str, Value], look_up: LookUp) -> dict[str, Value]:
    """A specification in which every reference is replaced by what ``look_up`` says of it, at any depth."""
    return {key: replaced(value, Reference, lambda reference: reference.to(look_up(reference))) for key, value in fields.items()}


def value_after(settled: Value, outputs: Mapping[str, Value] | None, attribute: str) -> Value:
    """What a resource's attribute is after the plan.

    ``settled`` is the field of that name in its settled specification (ABSENT when the manifest does not set it), ``outputs`` those of the live
    resource when it is there and stays; None when it is created or replaced.
    """
    if isinstance(settled, str):
        return Secret(settled)
    if isinstance(settled, Secret | Pending | Hidden):
        return settled
    if outputs is not None and attribute in outputs:
        return outputs[attribute]
    if isinstance(settled, Generate):
        return GENERATED_AT_APPLY
    return KNOWN_AFTER_APPLY if settled is ABSENT else settled

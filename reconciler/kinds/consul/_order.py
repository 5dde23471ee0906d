"""What every kind needs of an order."""

from __future__ import annotations

from reconciler.model.kind import Order
from reconciler.model.resource import Live


def planned(order: Order) -> Live:
    """What an update or a deletion was planned against. Raises ValueError when the engine gave none, which is its mistake."""
    if order.live is None:
        raise ValueError(f"{order.address} is to be changed, but was not read")
    return order.live

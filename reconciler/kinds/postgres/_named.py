"""Things in a database that have a name, an oid and an owner: how they are found and dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from reconciler.kinds.postgres import _inside
from reconciler.kinds.postgres._joining import acting_for, owner_in
from reconciler.kinds.postgres._on_server import still_there
from reconciler.model.address import Address
from reconciler.model.errors import LostRace, Rejected
from reconciler.model.kind import Order
from reconciler.systems.postgres import Condition, Name, Postgres, Row, Session, sql


@dataclass(frozen=True, slots=True)
class Named:
    """One type of them. ``keyword`` stands after DROP; ``rows`` asks for those ``wanted``, with ``oid``, ``name``, ``owner`` and what goes with those
    ``leaving``; ``is_the_one`` whether an oid still has its name. ``in_use`` says why Postgres does not drop one without CASCADE.
    """

    keyword: LiteralString
    rows: LiteralString
    is_the_one: LiteralString
    in_use: str

    def find(self, session: Session, name: str) -> Row | None:
        """The one of this name."""
        rows = session.query(self.rows, {"wanted": [name], "leaving": []})
        return rows[0] if rows else None

    def unchanged(self, address: Address, oid: str | None) -> Condition:
        """That it is what was planned against."""
        return still_there(self.is_the_one, oid, address.segments[2], address)

    def drop(self, server: Postgres, order: Order) -> None:
        """DROP; only with consent to the loss what is in it or uses it goes too."""
        name = order.address.segments[2]
        with _inside.deleting(server, order) as session:
            existing = self.find(session, name) if session else None
            if session is None or existing is None:
                return
            unchanged = self.unchanged(order.address, existing["oid"])
            if order.live is not None and order.live.incarnation != existing["oid"]:
                raise LostRace(unchanged.otherwise)
            how = sql("CASCADE" if order.allow_data_loss else "RESTRICT")
            owner = owner_in(server, existing["owner"], _inside.database_of(order.address))
            with acting_for(server, owner, f"drop the {self.keyword.lower()} {name} of"):
                try:
                    session.run(sql("DROP {} {} {}", sql(self.keyword), Name(name), how), only_if=unchanged)
                except Rejected as fault:
                    raise Rejected(f"{self.in_use} ({fault}): plan again to see what would be lost") from fault

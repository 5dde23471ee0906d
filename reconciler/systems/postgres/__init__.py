"""Postgres servers: the only code that imports psycopg.

:class:`Postgres` is one server. What is sent to it are :class:`Statement` values, made with :func:`sql` out of constant texts and quoted parts, so
that no kind ever puts a name or a value into a text by itself. psycopg is imported when the first connection is made: it takes 0.1 s, and many
manifests have no database.

How many statements a plan takes (``Postgres.statements``): one when connecting (identity, version, rights, settings), one for each kind of resource,
whatever their number, and one inside each database that is about to be deleted. So three for a manifest of roles and databases.
"""

from reconciler.systems.postgres.faults import InUse
from reconciler.systems.postgres.server import PARALLEL, Me, Postgres
from reconciler.systems.postgres.session import Condition, Row, Session
from reconciler.systems.postgres.statement import Name, Statement, joined, sql

__all__ = ["PARALLEL", "Condition", "InUse", "Me", "Name", "Postgres", "Row", "Session", "Statement", "joined", "sql"]

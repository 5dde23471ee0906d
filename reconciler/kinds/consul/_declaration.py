"""What a kind of config entry declares, and the fields that several kinds have.

The field names are those of its structure in Consul's package ``structs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from reconciler.kinds.consul._forms import Rows, Table
from reconciler.kinds.consul._protocols import HTTP_PROTOCOLS
from reconciler.kinds.consul._surroundings import Surroundings, entry_address
from reconciler.kinds.consul._values import Dropped, Flag, Free, Number, Reading, Shape, Span, Text, enterprise
from reconciler.model.address import Address
from reconciler.model.resource import Hold
from reconciler.model.value import Value

Fields = Mapping[str, Value]

Check = Callable[[str, Fields, Reading], None]
"""Notes what Consul would refuse about the entry of this name with these fields, beyond its shape. A field that is not set is what is live."""

Needs = Callable[[str, Fields, Surroundings], Iterator[Address]]
"""What must be written before the entry of this name with these fields."""

Holds = Callable[[str, Fields], Iterator[Hold]]
Related = Callable[[str, Fields], Iterator[str]]
Aside = Callable[[Fields, Fields, frozenset[str]], Fields]
Late = Callable[[str, Fields, Surroundings], Iterator[Hold]]

Resource = Literal["service", "intention", "mesh", ""]
"""A resource of ACL rights; "" where it takes none."""


def _no_needs(_name: str, _fields: Fields, _surroundings: Surroundings) -> Iterator[Address]:
    yield from ()


def _nothing_late(_name: str, _fields: Fields, _surroundings: Surroundings) -> Iterator[Hold]:
    yield from ()


def nothing(_name: str, _fields: Fields) -> Iterator[Any]:
    """Stands on nothing, and is about no other service."""
    yield from ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One kind of config entry.

    ``read`` and ``write`` are the resources of the ACL rights; the segment is the entry's name, but for ``mesh``, which has none. ``related``
    are services that writing takes ``service:read`` on besides.

    ``needs`` and ``after`` are those of :class:`~reconciler.model.resource.Desired`. ``stands_on`` is what Consul insists on when it is written;
    that is needed too. ``hinders`` is what Consul does not let change while the entry stands as it is, where that is less than ``stands_on``.
    ``aside`` makes of its live fields and the wanted ones what it can be meanwhile, when neither it nor what it stands on can be changed first; the
    third are the parts that must be gone. ``late`` is what such parts are in vain without.

    ``carries``: others stand on it. ``has_status``: Consul writes a status into it whenever it likes, so its ModifyIndex changes by itself.
    ``public``: the field that changes whenever the secret one does. ``defaults``: what absent fields at the top mean. ``section`` is the
    section of the manifest that has entries of this kind besides ``config_entries``. ``nameless``: there is one, which is sent without a name.
    """

    kind: str
    form: Table
    read: Resource
    write: Resource
    related: Related = nothing
    needs: Needs = _no_needs
    after: Needs = _no_needs
    stands_on: Holds = nothing
    hinders: Holds | None = None
    aside: Aside | None = None
    late: Late = _nothing_late
    carries: bool = False
    section: str = ""
    check: Check | None = None
    has_status: bool = False
    public: str = ""
    defaults: Fields = field(default_factory=dict)
    nameless: bool = False


_FILLED_IN: Final[Mapping[str, Shape]] = {name: Dropped() for name in ("Kind", "Name", "CreateIndex", "ModifyIndex", "Hash")}
TEXT: Final = Text()
NUMBER: Final = Number()
FLAG: Final = Flag()
SPAN: Final = Span()
COUNT_OR_NONE: Final = Number(significant=True)
"""A pointer in Consul: 0 is not the same as absent."""


def table(**fields: Shape) -> Table:
    """A mapping with known keys."""
    return Table(fields)


def entry(**fields: Shape) -> Table:
    """The fields of a config entry, with those that all have."""
    return Table({**fields, "Meta": Free(texts=True), **_FILLED_IN})


def rows(element: Shape) -> Rows:
    """A list whose order means something."""
    return Rows(element)


def unordered(element: Shape) -> Rows:
    """A list whose order means nothing."""
    return Rows(element, ordered=False)


PROTOCOL: Final = Text(case="lower", words=("tcp", *HTTP_PROTOCOLS))
MESH_GATEWAY: Final = table(Mode=Text(words=("none", "local", "remote")))
MODE: Final = Text(words=("direct", "transparent"))
MUTUAL_TLS_MODE: Final = Text(words=("strict", "permissive"))
TRANSPARENT_PROXY: Final = table(OutboundListenerPort=NUMBER, DialedDirectly=FLAG)
EXPOSE: Final = table(
    Checks=FLAG, Paths=rows(table(ListenerPort=NUMBER, Path=TEXT, LocalPathPort=NUMBER, Protocol=TEXT, ParsedFromCheck=FLAG))
)  # fmt: skip
ENVOY_EXTENSIONS: Final = rows(table(Name=TEXT, Required=FLAG, Arguments=Free(), ConsulVersion=TEXT, EnvoyVersion=TEXT))
PASSIVE_HEALTH_CHECK: Final = table(
    Interval=SPAN,
    MaxFailures=NUMBER,
    EnforcingConsecutive5xx=COUNT_OR_NONE,
    MaxEjectionPercent=COUNT_OR_NONE,
    BaseEjectionTime=Span(significant=True),
)
HEADER_MODIFIERS: Final = table(Add=Free(texts=True), Set=Free(texts=True), Remove=unordered(TEXT))
TLS_VERSION: Final = Text(words=("TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"))
SAMENESS_GROUP: Final = enterprise()

MESH: Final = entry_address("mesh", "mesh")

"""Import contracts that import-linter has no type for; named in pyproject.toml, checked by ``make lint``."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class RoomsOfTheirOwn(Contract):
    """Modules below ``package`` import no sibling but private ones, ``_name``; what several of them share lives there.

    So each kind of resource can be read by itself, and a new one changes no other. (The type ``independence`` would need every private module
    listed.)
    """

    package = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at every direct import; private modules are held to it too, so there is no way round."""
        rooms = graph.find_descendants(str(self.package))
        wrong = sorted(
            f"{room} -> {imported}"
            for room in rooms
            for imported in graph.find_modules_directly_imported_by(room) & rooms
            if not imported.rpartition(".")[2].startswith("_") and not room.startswith(f"{imported}.")
        )
        return ContractCheck(kept=not wrong, metadata={"wrong": wrong})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """List the imports."""
        for line in check.metadata["wrong"]:
            output.print_error(line)

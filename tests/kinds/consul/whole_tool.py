"""The tool as a whole on a manifest: applied, insisting that everything was done, and drift."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from reconciler.engine.operations import Connections, Options, apply, drift, plan
from reconciler.manifest.loading import load
from reconciler.model.change import Plan


@dataclass
class Tool:
    """With the environment that a person would have exported."""

    environment: dict[str, str]
    folder: Path

    def connections(self, manifest: Mapping[str, Any]) -> Connections:
        path = self.folder / "manifest.yaml"
        with path.open("w") as file:
            YAML(typ="safe", pure=True).dump({"version": 1, "name": "demo", **manifest}, file)
        return Connections(load([path]), self.environment)

    def apply(self, manifest: Mapping[str, Any], *, meanwhile: Callable[[], object] = lambda: None, **options: Any) -> Plan:
        """Apply, and insist that all was done and nothing is left to do; what was planned. ``meanwhile`` happens before the first change."""
        with self.connections(manifest) as connections:
            consents = Options(allow_delete=("*",), **options)

            def approve(_: Plan) -> bool:
                meanwhile()
                return True

            planned, outcome = apply(connections, consents, approve=approve, progress=lambda _: None, stop=threading.Event())
            assert planned.refusals == ()
            assert outcome is None or outcome.complete, [(str(r.change.address), r.why) for r in outcome.results if r.why]
            assert options.get("destroy") or plan(connections, Options()).is_empty
        return planned

    def drift(self, manifest: Mapping[str, Any]) -> Plan:
        with self.connections(manifest) as connections:
            return drift(connections)

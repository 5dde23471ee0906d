"""``reconciler schema``."""

from __future__ import annotations

import json

import click

from reconciler.cli.streams import emit


@click.command(
    "schema",
    short_help="Write the JSON Schema of the manifest, the plan or the events of an apply.",
    epilog="""\b
Example, for an editor with the YAML language server:
  reconciler schema manifest > manifest.schema.json
  # then, as the first line of a manifest:
  # yaml-language-server: $schema=manifest.schema.json""",
)
@click.argument("document", type=click.Choice(["manifest", "plan", "events"]))
def command(document: str) -> None:
    """Write the JSON Schema of the manifest, of the JSON of plan, drift and --json-into, or of each line of apply --format json."""
    if document == "plan":
        from reconciler.report.json import plan_schema

        schema = plan_schema()
    elif document == "events":
        from reconciler.report.events import events_schema

        schema = events_schema()
    else:
        from reconciler.manifest.schema import manifest_schema

        schema = manifest_schema()
    emit(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")

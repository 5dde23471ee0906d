"""``reconciler schema``."""

from __future__ import annotations

import json

import click

from reconciler.cli.streams import emit


@click.command(
    "schema",
    short_help="Write the JSON Schema of the manifest or of the plan.",
    epilog="""\b
Example, for an editor with the YAML language server:
  reconciler schema manifest > manifest.schema.json
  # then, as the first line of a manifest:
  # yaml-language-server: $schema=manifest.schema.json""",
)
@click.argument("document", type=click.Choice(["manifest", "plan"]))
def command(document: str) -> None:
    """Write the JSON Schema of the manifest, or of the JSON that plan, apply, destroy and drift write."""
    if document == "plan":
        from reconciler.report.json import plan_schema

        schema = plan_schema()
    else:
        from reconciler.manifest.schema import manifest_schema

        schema = manifest_schema()
    emit(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")

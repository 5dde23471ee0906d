"""``reconciler policy``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from reconciler.cli.connecting import load_target
from reconciler.cli.options import Target, takes_files
from reconciler.cli.streams import emit

if TYPE_CHECKING:
    from reconciler.engine.policy import Purpose


@click.command(
    "policy",
    short_help="Write the smallest ACL policy, and Postgres role, for a manifest.",
    epilog="""\b
Examples:
  reconciler policy carbonio.yaml | consul acl policy create -name reconciler-apply -rules -
  reconciler policy --for plan carbonio.yaml > read-only.hcl""",
)
@takes_files
@click.option("--for", "purpose", type=click.Choice(["plan", "drift", "apply"]), default="apply", show_default=True, help="What the token is to do.")
@click.option("--format", "form", type=click.Choice(["hcl", "json"]), default="hcl", show_default=True, help="Rules as Consul takes them, or JSON.")
def command(target: Target, purpose: Purpose, form: str) -> None:
    """Write the ACL rules with which a token can plan, look for drift, or apply and destroy a manifest, and no more; and what a role in Postgres
    must have.

    Nothing is connected. Whoever may write policies or tokens can give himself every right: keep such a token as you keep that of the bootstrap.
    What an earlier manifest of this name made and this one does not have takes the rights for that as well.
    """
    loaded = load_target(target)
    from reconciler.engine.policy import smallest
    from reconciler.report.policy import as_document, as_hcl

    rights = smallest(loaded, purpose)
    if form == "json":
        emit(json.dumps(as_document(rights), indent=2) + "\n")
    else:
        emit(as_hcl(rights, f"What reconciler {purpose} takes for the manifest {loaded.name}."))

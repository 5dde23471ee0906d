"""Files of tokens on this machine, for import: a token's entry says them, and what is none is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reconciler.model.importing import Expression, Found
from reconciler.model.resource import Live
from reconciler.model.secret import Hidden

_TOKENS: Final = ("mesh_credentials", "tokens")
_WITHOUT_FILE: Final = "The files that {} stand in are not said: name them with --token-file, or write file: {{path: …}} into the entries."


def remark(entries: Iterable[Expression]) -> str:
    """Tokens are of use in a file only, so that one without a file may be half of what there is."""
    tokens = [entry.body for entry in entries if entry.section == _TOKENS]
    without = sum("file" not in token for token in tokens)
    return _WITHOUT_FILE.format(f"{without} of {len(tokens)} tokens" if without < len(tokens) else "tokens") if without else ""


def expressed(live: Live, found: Found) -> Expression | None:
    """None for what a token's entry says; else why it is not said."""
    content = live.fields["token"]
    if found.holding("acl-token", content):
        return None
    if live.foreign:
        return Expression(why_not=live.foreign)
    if isinstance(content, Hidden):
        return Expression(why_not=f"it cannot be read: {content.why}")
    secrets = [token.outputs["secret_id"] for token in found.of_kind("acl-token")]
    why = next((secret.why for secret in secrets if isinstance(secret, Hidden)), "it holds the secret of none that is found")
    return Expression(why_not=f"it is no token's that can be told: {why}")

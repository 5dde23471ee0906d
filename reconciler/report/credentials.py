"""What a cluster archive holds, and what became of its checks, without any secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from reconciler.credentials.archive import Archive
from reconciler.credentials.certificates import CaCertificate
from reconciler.credentials.checks import Check
from reconciler.report.characters import visible
from reconciler.report.paint import PLAIN, Colour, Paint

FORMAT_VERSION: Final = 1

_SYMBOLS: Final = {"passed": "✓", "warning": "!", "unknown": "-", "failed": "×"}
_COLOURS: Final = {"passed": Colour.ADDED, "warning": Colour.CHANGED, "unknown": Colour.FAINT, "failed": Colour.REMOVED}


def archive_document(path: str, archive: Archive, ca: CaCertificate | str) -> dict[str, Any]:
    """For programs. ``ca`` is the certificate, or why it cannot be read."""
    return {
        "format_version": FORMAT_VERSION,
        "archive": path,
        "members": [{"name": m.name, "mode": f"{m.mode:04o}", "size_bytes": m.size_bytes} for m in archive.members.values()],
        "missing": list(archive.missing()),
        "ca": {"error": ca} if isinstance(ca, str) else {
            "subject": ca.subject, "issuer": ca.issuer, "not_before": ca.not_before.isoformat(), "not_after": ca.not_after.isoformat(),
        },
    }  # fmt: skip


def archive_text(document: Mapping[str, Any]) -> str:
    """The same for people."""
    members = document["members"]
    width = max(len(visible(m["name"])) for m in members)
    lines = [visible(document["archive"]), *(f"  {visible(m['name']):<{width}}  {m['mode']}  {m['size_bytes']:>6} bytes" for m in members)]
    lines += [f"  {name:<{width}}  missing" for name in document["missing"]]
    ca = document["ca"]
    if "error" in ca:
        lines += ["CA certificate", f"  cannot be read: the archive {visible(ca['error'])}"]
    else:
        day = f"{ca['not_before'][:10]} to {ca['not_after'][:10]}"
        lines += ["CA certificate", f"  subject  {visible(ca['subject'])}", f"  issuer   {visible(ca['issuer'])}", f"  valid    {day}"]
    return "\n".join(lines) + "\n"


def checks_document(path: str, checks: Iterable[Check]) -> dict[str, Any]:
    """For programs."""
    listed = [{"check": c.name, "result": c.result, "what": c.what, "what_to_do": c.what_to_do} for c in checks]
    return {"format_version": FORMAT_VERSION, "archive": path, "passed": all(c["result"] != "failed" for c in listed), "checks": listed}


def checks_text(path: str, checks: Iterable[Check], paint: Paint = PLAIN) -> str:
    """A line for each check: ✓ or ×, ! for a warning, - for what could not be looked at."""
    lines = [visible(path)]
    for check in checks:
        what = f"{check.what}: {check.what_to_do}" if check.what_to_do else check.what
        lines.append(f"{paint(_SYMBOLS[check.result], _COLOURS[check.result])} {visible(what)}")
    return "\n".join(lines) + "\n"

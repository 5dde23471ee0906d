"""Wrong manifests, one for each rule, and exactly what is said about each.

They are in ``invalid/*.txt``: ``## name``, then the manifest, then lines with ``> `` and what is reported, beginning with line and column. A
manifest follows the two lines of ``HEAD``, so it begins on line 3, unless it is ``(alone)``. ``(beyond the schema)`` marks what a JSON Schema
cannot tell: how a value is written, and what goes between entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEAD = "version: 1\nname: x\n"
FOLDER = Path(__file__).parent / "invalid"


@dataclass(frozen=True)
class Sample:
    name: str
    manifest: str
    expected: tuple[str, ...]
    in_schema: bool


def _in_file(path: Path) -> Iterator[Sample]:
    for block in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, *lines = block.rstrip().split("\n")
        name, _, marks = title.removesuffix(")").partition(" (")
        text = "\n".join(line for line in lines if not line.startswith("> "))
        expected = tuple(f"manifest.yaml:{line[2:]}" for line in lines if line.startswith("> "))
        yield Sample(name, ("" if "alone" in marks else HEAD) + text, expected, "beyond the schema" not in marks)


def _too_long() -> Iterator[Sample]:
    def sample(name: str, text: str, expected: str, *, in_schema: bool = True) -> Sample:
        return Sample(name, HEAD + text, (f"manifest.yaml:{expected}",), in_schema)

    a = "a" * 20
    name = "a" * 129
    text = f"mesh_credentials: {{policies: {{p: {{name: {name}, rules: ''}}}}}}"
    yield sample("policy's name too long", text, f'3:41: acl-policy/{name}: name "{a}…" is 129 bytes long: use at most 128 bytes')
    name = "a" * 33
    text = f"mesh_credentials: {{tokens: {{t: {{file: {{path: /a, owner: {name}}}}}}}}}"
    yield sample("owner's name is too long", text, f'3:57: acl-token/t: file.owner "{a}…" is 33 bytes long: use at most 32 bytes')
    key = "a" * 513
    yield sample("key is too long", f"kv: {{{key}: b}}", f'3:6: kv/{key}: "{a}…" is 513 bytes long: use at most 512 bytes')
    value = "b" * 380_001
    remedy = "write at most 380000 bytes, which is what one transaction can carry"
    yield sample("value is too long", f"kv: {{a: {value}}}", f"3:9: kv/a: is 380001 bytes long: {remedy}", in_schema=False)
    name = "é" * 32
    expected = f'3:22: db-role/default/{name}: name "{name[:20]}…" is 64 bytes long: use at most 63 bytes'
    yield sample("role's name is too long", f"db_roles: {{r: {{name: {name}}}}}", expected, in_schema=False)
    digits = "9" * 5000
    yield sample(
        "number of very many digits", f"kv: {{a: {digits}}}", f'3:9: kv/a: is a number beyond 64 bits: write "{digits[:60]}…"', in_schema=False
    )


SAMPLES = [*(sample for path in sorted(FOLDER.glob("*.txt")) for sample in _in_file(path)), *_too_long()]

"""A large manifest is read in a moment."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from reconciler.manifest.loading import load_text


def large(entries: int) -> str:
    """A manifest with so many entries, of five kinds."""
    each = range(entries // 5)
    return "\n".join(
        [
            "version: 1\nname: large\nmesh_credentials:\n  policies:",
            *(f'    p{i}:\n      description: Policy {i}\n      rules: {{service: {{s{i}: write}}, node_prefix: {{"": read}}}}' for i in each),
            "  tokens:",
            *(f"    t{i}:\n      policies: [p{i}]\n      file: {{path: /etc/t/{i}}}" for i in each),
            "external_services:",
            *(f'  s{i}:\n    node: n{i}\n    address: 10.0.0.1\n    port: 5432\n    node_meta: {{external-node: "true"}}' for i in each),
            "intentions:",
            *(f"  s{i}: {{a: allow, b: deny}}" for i in each),
            "kv:",
            *(f"  a/b{i}: {{generate: {{bytes: 16}}}}" for i in each),
        ]
    )


@pytest.mark.benchmark
def test_ten_thousand_entries_take_less_than_a_second():
    text = large(10_000)
    started = time.process_time()  # a busy machine does not count

    loaded = load_text(text)

    assert time.process_time() - started < 1.0
    assert sum(1 for _ in loaded.features()) == 12_000


def test_reading_a_manifest_imports_none_of_the_heavy_libraries():
    code = "import sys, reconciler.manifest.loading; print(*sorted({m.split('.')[0] for m in sys.modules}))"

    imported = set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())

    assert imported.isdisjoint({"consul", "urllib3", "requests", "psycopg", "deepdiff", "structlog", "rich", "asyncio", "click"})

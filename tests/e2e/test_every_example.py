"""Every example does what its page says: planned, applied, planned again with nothing to do, and destroyed without a trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*/"))


def files(example, tmp_path):
    """The command lines that the example's page has: each manifest alone, and with the overlays that are merged over it."""
    if (example / "base.yaml").exists():
        base, prod = str(example / "base.yaml"), str(example / "prod.yaml")
        return [[base], [base, prod]]
    if example.name == "05-token-file":
        # elsewhere, as its page says: a test writes nothing under /etc
        token = {"path": str(tmp_path / "token"), "owner": "root", "group": "root"} if is_root() else {"path": str(tmp_path / "token")}
        overlay = tmp_path / "elsewhere.yaml"
        overlay.write_text(json.dumps({"mesh_credentials": {"tokens": {"example-metrics": {"file": token}}}}), "utf-8")
        return [[str(example / "manifest.yaml"), str(overlay)]]
    return [[str(example / "manifest.yaml")]]


def is_root():
    import os

    return os.geteuid() == 0


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_an_example_is_planned_applied_and_destroyed_without_a_trace(example, reconciler, live, tmp_path):
    before = live()
    variants = files(example, tmp_path)
    for manifests in variants:
        reconciler("validate", *manifests, expect=0)
        planned = reconciler("plan", "--detailed-exitcode", *manifests, expect=2)
        applied = reconciler("apply", "--auto-approve", *manifests, expect=0)
        assert applied.last == planned.last.replace("Plan: ", "Apply complete: ").replace(" to add", " added").replace(" to change", " changed").replace(
            " to replace", " replaced"
        ).replace(" to delete", " deleted").replace(" to adopt", " adopted").replace(" to forget", " forgotten")  # fmt: skip
        again = reconciler("plan", "--detailed-exitcode", *manifests, expect=0)
        assert again.out == "No changes. Live state matches the manifest.\n"
        reconciler("drift", *manifests, expect=0)
    reconciler("destroy", "--auto-approve", *variants[-1], expect=0)
    assert live() == before
    assert not (tmp_path / "token").exists()


def test_there_are_examples():
    assert len(EXAMPLES) >= 6

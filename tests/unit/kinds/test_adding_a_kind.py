"""Follows CONTRIBUTING.md, "How to add a kind", with a made-up kind: one file in the package, and plan, apply, drift and destroy know it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import Field

import reconciler.kinds
from reconciler.engine.operations import Connections, Options, apply, drift, plan, validate
from reconciler.kinds import all_kinds
from reconciler.manifest import loaded, loading
from reconciler.manifest.features import features
from reconciler.manifest.fields import Label
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.loading import load_text
from reconciler.manifest.models import Manifest
from reconciler.manifest.section import Entry
from reconciler.model.change import Action
from reconciler.model.errors import ManifestError
from reconciler.model.kind import DirectKind, TransactionalKind

MADE_UP = Path(__file__).with_name("made_up")
HELLO = "version: 1\nname: notes\nnotes: {hello: {text: Hello}}\n"
EMPTY = "version: 1\nname: notes\n"


class NoteEntry(Entry):
    """Step 1, the section: an entry's fields."""

    text: str = Field(description="What it says.")


class ManifestWithNotes(Manifest):
    """Step 1, the section: its place in the manifest."""

    notes: dict[Label, NoteEntry] = Field(default_factory=dict, description="Notes, by title.")


def features_with_notes(manifest):
    """Step 1, the section: its name among the features."""
    yield from features(manifest)
    for title in manifest.notes:
        yield "notes", f"note/{title}", ("notes", title)


@pytest.fixture
def section(monkeypatch):
    """A manifest that has a section ``notes``."""
    monkeypatch.setattr(loading, "Manifest", ManifestWithNotes)
    monkeypatch.setattr(loaded, "features", features_with_notes)


@contextmanager
def among_the_kinds(folder: Path) -> Iterator[None]:
    """Step 2, the kind: its file lies in the package."""
    before = set(sys.modules)
    reconciler.kinds.__path__.append(str(folder))
    all_kinds.cache_clear()
    try:
        yield
    finally:
        reconciler.kinds.__path__.remove(str(folder))
        for name in [n for n in sys.modules if n.startswith("reconciler.kinds.") and n not in before]:
            del sys.modules[name]
            vars(reconciler.kinds).pop(name.removeprefix("reconciler.kinds."), None)
        all_kinds.cache_clear()


@pytest.fixture
def kind() -> Iterator[None]:
    with among_the_kinds(MADE_UP):
        yield


def manifest(text: str) -> LoadedManifest:
    return load_text(text, Path())


@pytest.fixture
def run(environment):
    """Applies a manifest to the real Consul; how many changes were made."""

    def run(text: str, **options) -> int:
        with Connections(manifest(text), environment) as connections:
            planned, outcome = apply(connections, Options(**options), approve=lambda _: True, progress=lambda _: None, stop=threading.Event())
        assert not planned.refusals
        assert outcome is None or outcome.complete
        return len(planned.changes)

    return run


@pytest.fixture
def planned(environment):
    """The actions and the changed fields of a plan."""

    def planned(text: str) -> list[tuple[Action, list[str]]]:
        with Connections(manifest(text), environment) as connections:
            return [(c.action, [".".join(f.path) for f in c.fields]) for c in plan(connections, Options()).changes]

    return planned


def test_its_file_is_all_that_is_needed_to_be_found(kind):
    assert isinstance(all_kinds()["note"], TransactionalKind)
    assert not isinstance(all_kinds()["note"], DirectKind)


def test_the_real_kinds_are_found_beside_it_and_stay_without_it():
    before = set(all_kinds())
    with among_the_kinds(MADE_UP):
        assert set(all_kinds()) == before | {"note"}
    assert set(all_kinds()) == before


def test_a_section_without_a_kind_is_not_supported_yet(section, environment):
    _, unsupported = validate(manifest(HELLO))
    assert [(d.subject, d.what) for d in unsupported] == [("note/hello", "not supported yet")]
    with Connections(manifest(HELLO), environment) as connections, pytest.raises(ManifestError, match="note/hello: not supported yet"):
        plan(connections, Options())


def test_a_section_with_its_kind_is_supported(section, kind):
    assert validate(manifest(HELLO)) == (1, [])


def test_plan_and_apply_run_through_it(section, kind, consul, run, planned):
    assert planned(HELLO) == [(Action.CREATE, [])]
    assert run(HELLO) == 1
    keys = consul.keys()
    assert keys["notes/hello"] == b"hello"
    assert "reconciler/owned/note/hello" in keys
    assert planned(HELLO) == []


def test_its_normal_form_decides_what_is_a_change(section, kind, run, planned):
    run(HELLO)
    assert planned(HELLO.replace("Hello", "HELLO")) == []
    assert planned(HELLO.replace("Hello", "Bye")) == [(Action.UPDATE, ["text"])]


def test_what_somebody_else_wrote_is_drift_and_is_put_back(section, kind, consul, environment, run):
    run(HELLO)
    consul.put("/v1/kv/notes/hello", b"something else")
    with Connections(manifest(HELLO), environment) as connections:
        assert [str(c.address) for c in drift(connections).changes] == ["note/hello"]
    run(HELLO)
    assert consul.keys()["notes/hello"] == b"hello"


def test_what_its_entry_made_goes_with_the_entry(section, kind, consul, run, planned):
    run(HELLO)
    assert planned(EMPTY) == [(Action.DELETE, [])]
    run(EMPTY)
    assert consul.keys() == {}


def test_destroy_knows_it(section, kind, consul, run):
    run(HELLO)
    run(HELLO, destroy=True)
    assert consul.keys() == {}


def test_two_kinds_of_one_name_are_refused(kind, tmp_path):
    second = "from reconciler.kinds.note import Note\n\nclass Second(Note):\n    covers = frozenset({'seconds'})\n\nKIND = Second()\n"
    (tmp_path / "second.py").write_text(second)
    with among_the_kinds(tmp_path), pytest.raises(ValueError, match="two kinds are called note"):
        all_kinds()


def test_two_kinds_for_one_part_of_the_manifest_are_refused(kind, tmp_path):
    (tmp_path / "second.py").write_text("from reconciler.kinds.note import Note\n\nclass Second(Note):\n    name = 'second'\n\nKIND = Second()\n")
    with among_the_kinds(tmp_path), pytest.raises(ValueError, match="both cover notes"):
        all_kinds()


def test_a_module_whose_name_begins_with_an_underscore_is_no_kind(tmp_path):
    (tmp_path / "_shared.py").write_text("raise AssertionError('it was taken for a kind')\n")
    before = set(all_kinds())
    with among_the_kinds(tmp_path):
        assert set(all_kinds()) == before

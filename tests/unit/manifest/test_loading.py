"""Files, and all mistakes at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from reconciler.manifest.loading import load, load_text
from reconciler.manifest.reading import MAX_BYTES
from reconciler.model.errors import ManifestError

EXAMPLES = Path(__file__).parents[3] / "examples"
GUIDE = (EXAMPLES / "01-external-postgres" / "manifest.yaml").read_text(encoding="utf-8")


def refusal(*paths) -> str:
    with pytest.raises(ManifestError) as raised:
        load(paths)
    return str(raised.value)


def test_missing_file(tmp_path):
    assert refusal(tmp_path / "m.yaml") == f"{tmp_path}/m.yaml: does not exist: give the path of a manifest"


def test_folder(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: is a folder: give the path of a manifest"


def test_refused_permission_is_said_as_such(tmp_path, monkeypatch):
    def refuse(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    assert refusal(tmp_path / "m") == f"{tmp_path}/m: may not be read by this user: change its permissions, or run as another user"


def test_no_file_at_all():
    assert refusal() == "no manifest is given: give the path of one"


def test_path_with_nul():
    assert "cannot be read (embedded null byte)" in refusal("a\0b")


def test_file_under_a_file(tmp_path):
    (tmp_path / "a").write_text("x", encoding="utf-8")

    assert refusal(tmp_path / "a" / "b") == f"{tmp_path}/a/b: cannot be read (Not a directory): give the path of a manifest"


def test_large_file_is_refused_without_being_read_to_its_end(tmp_path):
    path = tmp_path / "m.yaml"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)

    assert refusal(path) == f"{path}: is larger than 16 MiB: is it the right file?"
    assert MAX_BYTES == 16 * 1024 * 1024


def test_file_that_is_not_utf_8(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_bytes("name: é\nkv: {a: ".encode() + b"\xff}")

    assert refusal(path) == f"{path}:2:9: is not UTF-8: save the file in UTF-8"


def test_utf_16(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(GUIDE, encoding="utf-16")

    assert refusal(path) == f"{path}:1:1: is not UTF-8: save the file in UTF-8"


def test_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(GUIDE, encoding="utf-8-sig")

    assert load([path]).name == "carbonio-files-db"


def test_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(GUIDE,))
    writer.start()
    try:
        assert load([path]).name == "carbonio-files-db"
    finally:
        writer.join()


def test_all_unreadable_files_are_named(tmp_path):
    assert refusal(tmp_path / "a", tmp_path / "b").splitlines() == [f"{tmp_path}/{n}: does not exist: give the path of a manifest" for n in "ab"]


def test_every_file_that_is_not_yaml_is_named(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("'", encoding="utf-8")

    assert [line.partition(": ")[0] for line in refusal(tmp_path / "a", tmp_path / "b").splitlines()] == [f"{tmp_path}/a:1:2", f"{tmp_path}/b:1:2"]


def test_all_mistakes_are_reported_in_one_run_in_the_order_of_lines():
    text = """\
version: 1
name: x
db_roles: {r: {login: maybe, member_of: [r]}}
kv:
  a: 5
  b: {kv: c}
  c: {kv: b}
  a: d
  e:
intentions:
  web: {a: allow}
config_entries:
  - {Kind: service-intentions, Name: WEB}
  - {Kind: nonsense, Name: WEB}
files:
  f: {host: h, path: /f, source: s, mode: 0644}
unknown: 1
"""
    with pytest.raises(ManifestError) as raised:
        load_text(text)

    assert [(d.place.line, d.what) for d in raised.value.diagnostics if d.place] == [
        (3, 'login must be true or false, not the string "maybe"'),
        (5, "must be a string, not the number 5"),
        (6, "refers to itself (b → c → b)"),
        (8, "stands a second time"),
        (9, "is null"),
        (13, "is the same resource as intentions.web (manifest.yaml:11:3)"),
        (14, 'Kind is "nonsense", which is unknown'),
        (16, "host is h, which is not in hosts"),
        (16, "mode is a number with a leading zero"),
        (17, "is an unknown key"),
    ]


def test_no_secret_is_in_any_message():
    text = """\
version: 1
name: x
consul: {token: [hunter2]}
postgres: {s: {password: {hunter2: hunter2}, sslmode: 1}}
db_roles: {r: {password: {env: "hunter2 hunter2"}}, q: {password: 2030-01-01}}
kv: {my/password: [hunter2], my/token: {value: 999}, my/secret: 0999}
"""
    with pytest.raises(ManifestError) as raised:
        load_text(text)

    said = str(raised.value)
    assert len(raised.value.diagnostics) == 8
    for secret in ("hunter2", "999", "2030-01-01"):
        assert secret not in said


def test_sources_of_secrets_are_not_looked_at(tmp_path):
    loaded = load_text("version: 1\nname: x\nkv: {a: {file: nowhere}, b: {env: NOT_SET}, c: {exec: [/nowhere]}}\n", tmp_path)

    assert len(loaded.manifest.kv) == 3

"""Secrets from the environment, files and commands; what went wrong is said without showing anything."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret, SecretSource
from reconciler.systems import secret_sources
from reconciler.systems.secret_sources import resolve


def secret(form: Literal["env", "file", "exec"], argument: Any, directory: Path = Path("/"), **environ: str) -> str:
    found = resolve(SecretSource(form, argument), directory, environ)
    assert isinstance(found, Secret)
    return found.reveal()


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", program, *arguments]


class TestEnvironment:
    def test_it_is_the_variable_as_it_is(self) -> None:
        assert secret("env", "PASSWORD", PASSWORD=" a\n") == " a\n"

    def test_only_the_given_environment_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PASSWORD", "x")
        with pytest.raises(ReconcilerError, match="the environment variable PASSWORD is not set: set it"):
            secret("env", "PASSWORD")

    def test_an_empty_one_is_never_meant(self) -> None:
        with pytest.raises(ReconcilerError, match="PASSWORD is empty"):
            secret("env", "PASSWORD", PASSWORD="")


class TestFile:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [(b"s", "s"), (b"s\n", "s"), (b"s\r\n", "s"), (b"s\n\n", "s\n"), (b" s \n", " s "), ("é€\n".encode(), "é€"), (b"\ns", "\ns")],
    )
    def test_one_newline_at_the_end_is_dropped(self, tmp_path: Path, content: bytes, expected: str) -> None:
        (tmp_path / "f").write_bytes(content)
        assert secret("file", "f", tmp_path) == expected

    def test_an_absolute_path_stays(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("s")
        assert secret("file", str(tmp_path / "f"), Path("/nowhere")) == "s"

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", "is empty"), (b"\n", "is empty"), (b"hunter2\xff", "is not UTF-8 text"), (b"hunter2" * 200_000, "over 1,048,576 bytes")],
        ids=["empty", "newline", "binary", "huge"],
    )
    def test_what_is_no_secret_is_refused_and_not_shown(self, tmp_path: Path, content: bytes, message: str) -> None:
        (tmp_path / "f").write_bytes(content)
        with pytest.raises(ReconcilerError, match=message) as refused:
            secret("file", "f", tmp_path)
        assert str(tmp_path / "f") in str(refused.value)
        assert "hunter2" not in str(refused.value)

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ReconcilerError, match=f"{tmp_path}/f cannot be read: no such file or directory: create it, or correct the path"):
            secret("file", "f", tmp_path)

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ReconcilerError, match="cannot be read: is a directory"):
            secret("file", ".", tmp_path)


class TestCommand:
    def test_its_output_without_the_last_newline(self, tmp_path: Path) -> None:
        assert secret("exec", python("print('s')"), tmp_path) == "s"

    def test_it_runs_in_the_manifests_folder_with_the_given_environment(self, tmp_path: Path) -> None:
        program = "import os; print(os.getcwd(), os.environ['A'], 'HOME' in os.environ)"
        assert secret("exec", python(program), tmp_path, A="1") == f"{os.path.realpath(tmp_path)} 1 False"

    def test_its_words_are_not_a_shells(self, tmp_path: Path) -> None:
        assert secret("exec", python("import sys; print(sys.argv[1])", "$(id); *"), tmp_path) == "$(id); *"

    def test_a_failure_shows_neither_output_nor_arguments(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        program = "import sys; print('hunter2'); print('hunter2', file=sys.stderr); sys.exit(3)"
        with pytest.raises(ReconcilerError) as refused:
            secret("exec", python(program, "hunter2"), tmp_path)
        assert str(refused.value) == f"the command {sys.executable} ended with status 3: run it by hand to see why"
        assert capfd.readouterr() == ("", "")

    def test_one_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(ReconcilerError, match="the command no-such-command cannot be run: no such file or directory: install it"):
            secret("exec", ["no-such-command", "hunter2"], tmp_path, PATH="/usr/bin")

    def test_one_that_is_killed(self, tmp_path: Path) -> None:
        with pytest.raises(ReconcilerError, match="was ended by signal 9"):
            secret("exec", python("import os; os.kill(os.getpid(), 9)"), tmp_path)

    def test_one_that_writes_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(ReconcilerError, match=r"the output of the command .* is empty"):
            secret("exec", python("pass"), tmp_path)

    def test_one_that_does_not_end_is_ended_also_when_a_child_holds_its_output(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(secret_sources, "COMMAND_TIMEOUT_S", 0.5)
        child = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(8)']); p.wait()"
        began = time.monotonic()
        with pytest.raises(ReconcilerError, match=r"did not end within 0\.5 s"):
            secret("exec", python(child), tmp_path)
        assert time.monotonic() - began < 5

    def test_it_is_given_no_standard_input_to_wait_for(self, tmp_path: Path) -> None:
        assert secret("exec", python("import sys; print(repr(sys.stdin.read()))"), tmp_path) == "''"

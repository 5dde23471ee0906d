"""Completion, asked for by a real bash: what is offered, and that nothing is ever said."""

import os
import pty
import select
import socket
import subprocess
import sys
import time

import pytest

from tests.e2e.command import LIMIT_S, ROOT

MANIFEST = """\
mesh_credentials: {policies: {app: {rules: {key_prefix: {app/: read}}}}}
kv: {app/name: files, app/zone: a, "app/$(touch broken)": x, "app/a b": x, app/password: {generate: {bytes: 16, encoding: hex}}}
"""

ASK = """\
eval "$(reconciler completion bash)"
compopt() { :; }  # which bash only takes while it completes
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_WORDS=("${COMP_WORDS[@]}" $BEHIND)
_reconciler_completion reconciler
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def program(command, tmp_path):
    """The command, and the environment of a shell that finds it under its name."""
    script = tmp_path / "bin" / "reconciler"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m reconciler.cli.main "$@"\n')
    script.chmod(0o755)
    environment = {**command.whole_environment, "PATH": f"{script.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    return command, environment


@pytest.fixture
def complete(program, tmp_path):
    """What bash offers for the last of ``words``, while ``behind`` stands behind the cursor; it must not say anything."""

    def ask(*words, behind="", **more):
        environment = {**program[1], "BEHIND": behind, **more}
        ran = subprocess.run(
            ["bash", "-c", ASK, "bash", "reconciler", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert ran.stderr == ""
        return ran.stdout.split()

    return ask


def test_commands_and_options(complete):
    assert complete("p") == ["plan", "policy"]
    assert {"plan", "apply", "owned", "completion"} <= set(complete(""))
    assert complete("owned", "f") == ["forget"]
    assert complete("plan", "--form") == ["--format"]
    assert complete("plan", "--format", "") == ["text", "json", "markdown"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]


NOWHERE = {"CONSUL_HTTP_ADDR": "127.0.0.1:1"}


@pytest.mark.parametrize("option", ["--adopt", "--allow-delete", "--allow-data-loss", "--target", "--exclude"])
def test_every_option_that_takes_addresses_gets_them(complete, write, option):
    assert complete("apply", option, "", behind=write(MANIFEST), **NOWHERE) == ["acl-policy/app", "kv/app/name", "kv/app/password", "kv/app/zone"]


def test_addresses_of_the_manifests_on_the_line(complete, write):
    file = write(MANIFEST)
    assert complete("apply", file, "--adopt", "kv/app/z", **NOWHERE) == ["kv/app/zone"]
    over = write("kv: {app/more: x}\n", file="over.yaml")
    assert complete("apply", file, "--adopt", "kv/app/m", behind=over, **NOWHERE) == ["kv/app/more"]
    assert complete("apply", "--adopt", "=", "kv/app/z", behind=file, **NOWHERE) == ["kv/app/zone"]  # how bash tells --adopt=kv/app/z
    assert complete("apply", "--adopt", "", **NOWHERE) == []


def test_addresses_of_a_manifest_that_has_mistakes(complete, write):
    assert complete("plan", "--adopt", "kv/", behind=write("kv: {app/name: files, app/number: 7}\n")) in (["kv/app/name"], [])
    assert complete("plan", "--adopt", "kv/", behind=write("kv: {{{")) == []


def test_addresses_of_the_records(complete, command, write, tmp_path):
    file = write(MANIFEST)
    command("apply", "--auto-approve", file, expect=0)
    command("apply", "--auto-approve", write("kv: {other/key: x}\n", name="other", file="other.yaml"), expect=0)
    for action in ("show", "forget", "unprotect"):
        assert complete("owned", action, "kv/app/n") == ["kv/app/name"]
    assert complete("owned", "show", "", behind=file) == ["acl-policy/app", "kv/app/name", "kv/app/password", "kv/app/zone"]
    assert complete("owned", "show", "", behind="--name other") == ["kv/other/key"]
    assert complete("owned", "show", "", CONSUL_HTTP_TOKEN="") == []
    assert complete("owned", "transfer", "kv/other/k") == ["kv/other/key"]
    assert complete("owned", "adopt", "kv/app/z", behind=file) == ["kv/app/zone"]
    assert not (tmp_path / "broken").exists()


def test_no_program_is_run_for_a_completion(complete, write, tmp_path):
    assert complete("owned", "show", "", behind=write("consul: {token: {exec: [touch, ran]}}\n")) == []
    assert not (tmp_path / "ran").exists()


def test_a_consul_that_does_not_answer_is_not_waited_for(complete, silent_server):
    began = time.monotonic()
    assert complete("owned", "show", "", CONSUL_HTTP_ADDR=silent_server) == []
    assert time.monotonic() - began < 30, "of which most is a busy machine: without a limit Consul would be waited for a minute"
    assert complete("owned", "show", "", CONSUL_HTTP_ADDR="127.0.0.1:1") == []
    assert complete("owned", "show", "", CONSUL_HTTP_ADDR="not an address") == []


@pytest.fixture
def silent_server():
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("line", [("nonsense", ""), ("plan", "--no-such-option", ""), ("owned", "nonsense", ""), ("schema", "x", "y", ""), ("",) * 9])
def test_a_line_that_makes_no_sense_is_not_commented_on(complete, line):
    complete(*line)


def test_whoever_presses_the_tabulator_at_a_terminal(program, write, tmp_path):
    file = write(MANIFEST)
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"], cwd=tmp_path, env={**program[1], "PS1": "ready> "}, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)

    def press(keys, until):
        os.write(ours, keys.encode())
        seen = ""
        while until not in seen:
            assert select.select([ours], [], [], LIMIT_S)[0], seen
            seen += os.read(ours, 4096).decode()
        return seen

    try:
        press('eval "$(reconciler completion bash)"; echo loa""ded\n', "loaded\r\nready> ")
        press("reconciler pl\t", "plan ")
        press("--allow-del\t", "ete ")
        press("\x15", "ready> ")  # Ctrl-U: the line is empty again
        press(f"reconciler plan {file} --adopt kv/app/z\t", "kv/app/zone ")
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_are_answered_in_their_own_way(program, write, tmp_path, shell):
    command, environment = program
    script = command("completion", shell, expect=0).out
    assert f"_RECONCILER_COMPLETE={shell}_complete" in script
    # fish tells the line up to the cursor and the word at it, zsh the whole line and the number of the word
    file = write(MANIFEST)
    line, word = {"fish": (f"reconciler plan {file} --adopt kv/app/n", "kv/app/n"), "zsh": (f"reconciler plan --adopt kv/app/n {file}", "3")}[shell]
    given = {"_RECONCILER_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": word}
    ran = subprocess.run(["reconciler"], cwd=tmp_path, env={**environment, **given}, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "kv/app/name" in ran.stdout

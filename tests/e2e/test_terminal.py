"""A person at a terminal is shown the plan and asked; only "yes" applies it."""

import os
import re
import signal

import pytest

from tests.e2e.terminal import Terminal, without_colour

MANIFEST = "kv: {app/name: files, app/password: {generate: {bytes: 16, encoding: hex}}}\n"
QUESTION = 'Apply these changes? Only "yes" is accepted: '
PLAN = """\
+ kv/app/name (new in the manifest)
    value: files

+ kv/app/password (new in the manifest)
    value: (generated at apply)

Plan: 2 to add, 0 to change, 0 to replace, 0 to delete, 0 to adopt, 0 to forget.
"""


def test_yes(command, write, consul):
    with Terminal(command, "apply", write(MANIFEST)) as run:
        assert without_colour(run.until(QUESTION)) == f"{PLAN}\n{QUESTION}"
        assert consul.keys("app/") == {}
        run.type("yes\n")
        rest, code = run.rest()
    assert code == 0
    assert without_colour(rest).endswith("\nApply complete: 2 added, 0 changed, 0 replaced, 0 deleted, 0 adopted, 0 forgotten.\n")
    assert consul.keys("app/")["app/name"] == b"files"


@pytest.mark.parametrize("answer", ["no\n", "y\n", "\n", "YES\n", "\x04"], ids=["no", "y", "nothing", "in capitals", "the end of input"])
def test_anything_else_changes_nothing(command, write, live_consul, answer):
    before = live_consul()
    with Terminal(command, "apply", write(MANIFEST)) as run:
        run.until(QUESTION)
        run.type(answer)
        rest, code = run.rest()
    assert code == 1
    assert without_colour(rest).endswith("\nreconciler: not approved; nothing was changed\n")
    assert live_consul() == before


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_being_interrupted_at_the_question_changes_nothing(command, write, live_consul, how):
    before = live_consul()
    with Terminal(command, "apply", write(MANIFEST)) as run:
        run.until(QUESTION)
        if how == "Ctrl-C":
            os.killpg(run.process.pid, signal.SIGINT)  # what the terminal does: for the whole group of processes
        else:
            run.process.send_signal(signal.SIGTERM)
        rest, code = run.rest()
    assert code == 130
    assert without_colour(rest).endswith("reconciler: interrupted\n")
    assert live_consul() == before


def test_destroy_asks_too(command, write, consul):
    command("apply", "--auto-approve", write(MANIFEST), expect=0)
    with Terminal(command, "destroy", "mesh.yaml") as run:
        asked = without_colour(run.until('Destroy all this? Only "yes" is accepted: '))
        assert asked.startswith("- kv/app/name (no longer in the manifest)\n- kv/app/password (no longer in the manifest)\n\nPlan: ")
        run.type("yes\n")
        assert run.rest()[1] == 0
    assert consul.keys() == {}


def test_what_to_type_stands_on_a_line_of_its_own(command, write, consul):
    consul.put("/v1/kv/app/name", b"theirs")
    with Terminal(command, "plan", write(MANIFEST)) as run:
        shown, code = run.rest()
    assert code == 5
    assert re.search(
        r"\n    × kv/app/name: [^\n]*\n        value: theirs → files\n        to take it over and change it: [^\n]*--adopt 'kv/app/name'",
        without_colour(shown),
    )


def test_with_json_the_person_reads_text_and_the_program_json(command, write):
    with Terminal(command, "apply", "--format", "json", write(MANIFEST)) as run:
        assert PLAN in without_colour(run.until(QUESTION))
        run.type("yes\n")
        rest, code = run.rest()
    assert code == 0
    assert '"summary": "Apply complete: 2 added, ' in rest


def test_the_terminal_has_colour_unless_it_is_not_wanted(command, write):
    file = write(MANIFEST)
    with Terminal(command, "plan", file) as run:
        assert "\x1b[32m+\x1b[0m" in run.rest()[0]
    for arguments, environment in ((["plan", file], {"NO_COLOR": "1"}), (["plan", file, "--color", "never"], {})):
        with Terminal(command, *arguments, **environment) as run:
            shown, code = run.rest()
        assert code == 0
        assert "m+" not in shown and "\x1b[3" not in shown and "\x1b[1m" not in shown


def test_who_takes_a_lock_away_is_asked(command, write, consul):
    file = write(MANIFEST)
    session = consul.put("/v1/session/create", {"TTL": "60s", "Behavior": "delete"})["ID"]
    holder = {
        "who": "root",
        "host": "elsewhere",
        "pid": 7,
        "operation": "apply",
        "since": "noon",
        "start_time": "",
        "boot_id": "",
        "pid_namespace": "",
    }
    assert consul.put(f"/v1/kv/reconciler/lock/mesh?acquire={session}", holder)
    question = 'Take it away? Only "yes" is accepted: '
    with Terminal(command, "unlock", file) as run:
        assert "The lock is held by root@elsewhere (process 7, apply, since noon). " + question in without_colour(run.until(question))
        run.type("no\n")
        assert run.rest()[1] == 1
    assert consul.keys("reconciler/lock/")
    with Terminal(command, "unlock", file) as run:
        run.until(question)
        run.type("yes\n")
        rest, code = run.rest()
    assert (code, "mesh is unlocked" in rest) == (0, True)
    assert command("apply", "--auto-approve", file).code == 0

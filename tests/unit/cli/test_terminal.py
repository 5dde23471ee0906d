"""With a real terminal, real pipes and real signals, each run in a process of its own."""

import os
import pty
import re
import select
import signal
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "tests.unit.cli.driver"]
LIMIT_S = 30


class Terminal:
    """A process whose three streams are one terminal."""

    def __init__(self, *arguments, **environment):
        mine, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", **environment},
        )
        os.close(theirs)
        self.descriptor = mine
        self.seen = ""

    def until(self, text):
        """Read until ``text`` was written since the last call; what was read."""
        while text not in self.seen:
            ready, _, _ = select.select([self.descriptor], [], [], LIMIT_S)
            assert ready, f"{text!r} was not written, only {self.seen!r}"
            self.seen += os.read(self.descriptor, 4096).decode()
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def rest(self):
        """Everything up to the end, and the exit code."""
        while True:
            try:
                more = os.read(self.descriptor, 4096)
            except OSError:  # how a terminal tells that the other side is gone
                break
            if not more:
                break
            self.seen += more.decode()
        return self.seen, self.process.wait(LIMIT_S)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.descriptor)


@pytest.fixture
def terminal(manifest):
    opened = []

    def start(command, *arguments, **environment):
        opened.append(Terminal(command, manifest, *arguments, **environment))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_the_plan_is_shown_in_colour_and_asked_about(terminal):
    run = terminal("apply")
    shown = run.until('Only "yes" is accepted: ')
    assert "\x1b[32m+\x1b[0m" in shown
    run.type("yes\n")
    rest, code = run.rest()
    assert code == 0
    assert "9/9 applied" in rest or "Applying: 9 to do" in rest
    assert "Apply complete: 1 added" in rest


def test_no_color_is_honoured(terminal):
    shown, code = terminal("plan", NO_COLOR="1").rest()
    assert code == 0
    assert re.findall(r"\x1b\[\d+m", shown) == []


def test_ctrl_c_at_the_question_ends_the_run_and_releases_the_lock(terminal):
    run = terminal("apply")
    run.until("accepted: ")
    run.process.send_signal(signal.SIGINT)
    rest, code = run.rest()
    assert code == 130
    assert "lock released" in rest
    assert "reconciler: interrupted" in rest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_writing_is_answered_and_lets_the_run_end(terminal, number):
    run = terminal("apply", "--auto-approve", WAIT="1")
    run.until("writing\r\n")
    run.process.send_signal(number)
    run.until("finishing what is in flight")
    run.until("stopping\r\n")
    run.process.send_signal(number)
    run.until("still finishing")
    run.type("\n")
    rest, code = run.rest()
    assert code == 130
    assert "lock released" in rest
    assert "Stopped early: interrupted" in rest
    assert "Apply incomplete: " in rest


def test_the_end_of_input_at_the_question_is_no(terminal):
    run = terminal("apply")
    run.until("accepted: ")
    run.type("\x04")
    rest, code = run.rest()
    assert code == 1
    assert "not approved; nothing was changed" in rest


def test_a_reader_that_goes_away_is_no_error_to_speak_of(manifest):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, "plan", manifest], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_full_disk_is_said():
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "reconciler: error: standard output: No space left on device\n")


def test_symbols_are_ascii_where_the_terminal_has_no_unicode(manifest):
    done = subprocess.run([*COMMAND, "plan", manifest], capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    text = done.stdout.decode("ascii")
    assert ">> config-entry/proxy-defaults" in text
    assert "description: by hand -> Policy for app" in text
    assert "x kv/app/url" in text

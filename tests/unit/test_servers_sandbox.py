"""The sandbox's keeper is only ever signalled while it is that very process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.servers import sandbox


@pytest.fixture
def record(tmp_path, monkeypatch):
    path = tmp_path / "keeper.json"
    monkeypatch.setattr(sandbox, "_RECORD", path)
    monkeypatch.setattr(sandbox, "_FOLDER", tmp_path)
    return path


def test_process_that_runs_has_a_start_time_that_stays():
    assert sandbox.started_at(os.getpid()) == sandbox.started_at(os.getpid()) is not None


def test_process_that_ended_has_none_even_before_it_is_waited_for():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert process.stdin
        started = sandbox.started_at(process.pid)
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert started is not None
        assert sandbox.started_at(process.pid) is None


def test_keeper_is_recognised_by_its_start_time(record):
    record.write_text(json.dumps({"pid": os.getpid(), "started": sandbox.started_at(os.getpid())}))
    assert sandbox.running() is not None


def test_other_process_with_the_recorded_id_is_left_alone(record, capsys):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        record.write_text(json.dumps({"pid": process.pid, "started": "long ago"}))
        assert sandbox.stop() == 0
        assert "no sandbox is running" in capsys.readouterr().err
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize("text", ["", "{", None])
def test_without_a_usable_record_nothing_runs(record, text):
    if text is not None:
        record.write_text(text)
    assert sandbox.running() is None

"""The machine that tests share: what one of them leaves on it is that one's failure, and no other's."""

from __future__ import annotations

import pytest

from tests.servers.lending import Lending
from tests.servers.machine_snapshot import Snapshot


class OnPaper:
    """As much of a machine as lending one takes."""

    def __init__(self):
        self.files = set()
        self.is_running = True

    def write(self, path, text, *, mode):
        del text, mode
        self.files.add(path)

    def snapshot(self):
        return Snapshot(frozenset(), frozenset(self.files), frozenset(), frozenset())

    def stop(self):
        self.is_running = False


@pytest.fixture
def lending():
    return Lending(OnPaper, settling_s=0)  # type: ignore[arg-type]


def test_a_machine_that_is_left_as_it_was_found_is_lent_again(lending):
    with lending.lent() as first:
        first.files.add("/etc/made")
        first.files.remove("/etc/made")
    with lending.lent() as second:
        assert second is first
    lending.end()
    assert not first.is_running


def test_what_is_left_on_a_machine_fails_the_test_that_left_it_and_is_not_found_by_the_next(lending):
    with pytest.raises(AssertionError, match=r"the machine is not as it was found:\n\+ /etc/left$"), lending.lent() as first:
        first.files.add("/etc/left")
    assert not first.is_running
    with lending.lent() as second:
        assert second is not first and "/etc/left" not in second.files


def test_a_machine_on_which_something_failed_is_not_lent_again(lending):
    with pytest.raises(ZeroDivisionError), lending.lent() as first:
        raise ZeroDivisionError  # while a fixture for several tests made it ready
    with lending.lent(lambda: True) as second:
        second.files.add("/etc/left")  # which is no news
    with lending.lent() as third:
        assert len({id(one) for one in (first, second, third)}) == 3
    assert not (first.is_running or second.is_running) and third.is_running

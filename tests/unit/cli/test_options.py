import click
import pytest

from reconciler.cli.options import Choices, deletion_limit, duration


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5)])
def test_durations(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "5d", "5m30"])
def test_what_is_no_duration(text):
    with pytest.raises(click.BadParameter):
        duration(text)


@pytest.mark.parametrize("text", ["0", "12", "0%", "100%"])
def test_deletion_limits(text):
    assert deletion_limit(text) == text


@pytest.mark.parametrize("text", ["", "%", "-1", "1.5", "30 %"])
def test_what_is_no_deletion_limit(text):
    with pytest.raises(click.BadParameter):
        deletion_limit(text)


def test_choices_become_the_options_of_the_engine():
    options = Choices(adopt=("kv/*",), max_deletes="3", lock_timeout_s=5.0, timeout_s=9.0).options(destroy=True)
    assert (options.adopt, options.max_deletes, options.lock_timeout_s, options.destroy) == (("kv/*",), "3", 5.0, True)

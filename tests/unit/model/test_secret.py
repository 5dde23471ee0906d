"""A secret does not show, however it is looked at."""

import json
import pickle
import traceback

import pytest

from reconciler.model.secret import Secret

CANARY = "canary-5f1c"


@pytest.mark.parametrize("shown", [repr, str, format, lambda s: f"{s!r:>20}", lambda s: f"{[s]}", lambda s: str({"k": s})])
def test_a_secret_is_masked_in_every_text(shown):
    assert CANARY not in shown(Secret(CANARY))


def test_a_secret_is_not_serialised():
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))
    with pytest.raises(TypeError):
        json.dumps(Secret(CANARY))


def test_a_secret_is_not_hashed_and_has_no_dictionary():
    with pytest.raises(TypeError):
        hash(Secret(CANARY))
    assert not hasattr(Secret(CANARY), "__dict__")


def test_a_secret_is_masked_in_a_traceback_with_locals():
    try:
        value = Secret(CANARY)
        raise ValueError(value)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert CANARY not in shown.replace(f'"{CANARY}"', "")


def test_secrets_match_by_text():
    assert Secret("ä\udcff").matches(Secret("ä\udcff"))
    assert not Secret("a").matches(Secret("b"))

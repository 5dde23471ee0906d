"""Verifiers are those of libpq and of Postgres, bit for bit; tests/kinds/postgres/test_login.py logs in with them."""

import hashlib
import pickle
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import pq

from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Hidden, Secret, Verifies
from reconciler.systems.scram import DEFAULT_ITERATIONS, MOST_ITERATIONS, Verifications, Verifier, build, parse, prepared, salt_of

# a connection that goes nowhere: libpq computes verifiers on it all the same
LIBPQ = pq.PGconn.connect_start(b"host=/nonexistent")
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="

passwords = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


def by_libpq(password: str, role: str = "app", algorithm: bytes = b"scram-sha-256") -> str:
    return LIBPQ.encrypt_password(password.encode(), role.encode(), algorithm).decode()


def verifier_of(stored: str, role: str = "app", remembered: Verifications | None = None) -> Verifier:
    verifier = parse(stored, role, remembered or Verifications())
    assert isinstance(verifier, Verifier)
    assert isinstance(verifier, Verifies)
    return verifier


def matches(stored: str, password: str, role: str = "app") -> bool:
    return verifier_of(stored, role).matches(Secret(password))


TRAPS = {
    "ascii": "correct horse",
    "ascii control characters are kept": "tab\tbell\a\x7f",
    "NFKC": "ﬁ²Ⅸ",
    "no-break space": "a\u00a0b",
    "soft hyphen": "a\u00adb",
    "only characters that are mapped to nothing": "\u00ad\u200d",
    "zero width space": "a\u200bb",
    "prohibited": "a\ue000b",
    "prohibited before normalising, not after": "a\u0340",
    "right to left": "\u05d0\u05d1",
    "both directions": "\u05d0a\u05d1",
    "right to left, not at the end": "\u05d01",
    "left to right only after normalising": "\u2135a",
    "emoji": "🔑🔐",
    "unassigned in Unicode 3.2, with a decomposition": "🄀",
    "normalised wrongly by Unicode 3.2": "\U0002f868",
    "long": "ä" * 2000,
    "quotes": "'\"\\$$;--",
    "looks like a verifier": "SCRAM-SHA-256$4096:c2FsdA==$a:b",
    "looks like MD5": "md5" + "0" * 32,
    "spaces": "  ",
}


@pytest.mark.parametrize("password", TRAPS.values(), ids=TRAPS)
def test_a_verifier_of_libpq_matches_its_password_and_no_other(password):
    stored = by_libpq(password)
    assert matches(stored, password)
    assert not matches(stored, password + "x")


@settings(max_examples=150, deadline=None)
@given(passwords)
@example("\ufb1d")
@example("\U0002f91f\u0627")
def test_any_password_is_prepared_as_libpq_does_it(password):
    assert matches(by_libpq(password), password)


@settings(max_examples=50, deadline=None)
@given(passwords, passwords)
def test_two_passwords_match_one_verifier_only_when_they_are_prepared_alike(one, other):
    assert matches(build(Secret(one)).reveal(), other) == (prepared(one) == prepared(other))


@settings(max_examples=40, deadline=None)
@given(passwords, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_md5_verifiers_of_old_are_recognised(password, role):
    stored = by_libpq(password, role, b"md5")
    assert matches(stored, password, role)
    assert not matches(stored, password + "x", role)
    assert not matches(stored, password, role + "x")


def test_a_password_that_is_not_utf8_is_taken_as_its_bytes():
    raw = b"p\xffw"
    stored = LIBPQ.encrypt_password(raw, b"app", b"scram-sha-256").decode()
    assert matches(stored, raw.decode("utf-8", "surrogateescape"))


def test_what_is_built_has_the_form_that_postgres_keeps_verbatim():
    verifier = build(Secret("pässword"))
    assert re.fullmatch(r"SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=", verifier.reveal())
    assert len(verifier.reveal()) < 512, "Postgres 18 refuses longer ones"
    assert matches(verifier.reveal(), "pässword")


def test_each_verifier_has_a_salt_of_its_own():
    one, other = build(Secret("x")), build(Secret("x"))
    assert salt_of(one) != salt_of(other)
    assert salt_of(one) == verifier_of(one.reveal()).salt


def test_the_servers_iterations_are_used_and_never_fewer_than_the_default():
    assert build(Secret("x"), 5000).reveal().startswith("SCRAM-SHA-256$5000:")
    assert build(Secret("x"), 1).reveal().startswith(f"SCRAM-SHA-256${DEFAULT_ITERATIONS}:")
    assert matches(build(Secret("x"), 5000).reveal(), "x")


@pytest.mark.parametrize(("password", "why"), [("", "is empty"), ("a\0b", "NUL"), ("\ud800", "not valid Unicode")])
def test_a_password_that_nobody_can_have_is_refused_without_showing_it(password, why):
    with pytest.raises(ReconcilerError, match=why) as caught:
        build(Secret(password))
    assert password == "" or password not in str(caught.value)


def test_a_password_that_nobody_can_have_matches_nothing():
    stored = build(Secret("x")).reveal()
    assert not matches(stored, "")
    assert not matches(stored, "x\0")


@pytest.mark.parametrize(
    "stored",
    [
        "plain text of old",
        "",
        "md5" + "0" * 31,
        "MD5" + "0" * 32,
        f"SCRAM-SHA-256$0:{SALT}$AAAA:AAAA",
        f"SCRAM-SHA-256$4096:$AAAA:{SALT}",
        f"SCRAM-SHA-256$4096:{SALT}$====:====",
        f"SCRAM-SHA-256$4096:{SALT}$AAA:AAAA",
        f"SCRAM-SHA-256$-1:{SALT}$AAAA:AAAA",
        f"SCRAM-SHA-1$4096:{SALT}$AAAA:AAAA",
        f"SCRAM-SHA-256$4096:{SALT}$AAAA:AAAA\n",
    ],
)
def test_a_malformed_verifier_matches_nothing_so_that_it_is_replaced(stored):
    for password in ("", "x", stored):
        assert not matches(stored, password)


def test_a_verifier_that_would_take_for_ever_is_not_checked():
    found = parse(f"SCRAM-SHA-256${MOST_ITERATIONS + 1}:{SALT}$AAAA:AAAA", "app", Verifications())
    assert isinstance(found, Hidden)
    assert "iterations" in found.why


def test_a_check_is_remembered_for_the_run_also_over_another_reading():
    hashed = []
    remembered = Verifications()

    def check(raw: bytes) -> bool:
        hashed.append(raw)
        return raw == b"x"

    secret = Secret("x")
    assert remembered.result(("app", "v"), secret, check)
    assert remembered.result(("app", "v"), secret, check)
    assert remembered.result(("app", "v"), Secret("x"), check)
    assert hashed == [b"x"]
    assert not remembered.result(("app", "v"), Secret("y"), check)
    assert not remembered.result(("app", "other"), Secret("y"), check)
    assert hashed == [b"x", b"y", b"y"]


def test_what_is_remembered_of_one_role_does_not_count_for_another():
    stored = "md5" + hashlib.md5(b"secretapp").hexdigest()
    remembered = Verifications()
    assert verifier_of(stored, "app", remembered).matches(Secret("secret"))
    assert not verifier_of(stored, "pp", remembered).matches(Secret("secret"))
    assert verifier_of(stored, "pp", remembered).matches(Secret("secreta"))


def test_a_verifier_shows_nothing_and_cannot_be_pickled():
    stored = build(Secret("x")).reveal()
    verifier = verifier_of(stored)
    assert repr(verifier) == str(verifier) == "(secret)"
    with pytest.raises(TypeError):
        pickle.dumps(verifier)

"""The program with one leak, to prove that the search for secrets would find it: ``python -m tests.e2e.leaky PLACE apply …``."""

from __future__ import annotations

import base64
import gc
import hashlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from reconciler.cli import failures, logs
from reconciler.cli.main import main
from reconciler.engine import staleness
from reconciler.model.secret import Secret
from reconciler.ownership import records
from reconciler.report import values
from reconciler.systems import secret_sources
from reconciler.systems.postgres.session import Session


def all_secrets() -> list[str]:
    """What this process holds at this moment."""
    return [secret.reveal() for secret in gc.get_objects() if type(secret) is Secret]


def in_a_plan() -> None:
    """Shows the first characters of a secret, "to help telling them apart"."""
    mask = values.masked_text
    values.masked_text = lambda value: value.reveal()[:12] + "…" if isinstance(value, Secret) else mask(value)


def in_a_record() -> None:
    """Keeps hashes of secrets, to see later whether they have changed."""
    encode = records.encode
    records.encode = lambda record: encode(record) + b" " + " ".join(hashlib.sha256(s.encode()).hexdigest() for s in all_secrets()).encode()


def in_a_saved_plan() -> None:
    """Keeps the values that fields are set to, to compare them."""
    side = staleness._sides
    staleness._sides = lambda value: iter([value.reveal()]) if isinstance(value, Secret) else side(value)


def in_a_log() -> None:
    """Logs a header as it was sent, in base64."""
    tell = logs.Log._pass

    def leak(self: logs.Log, level: str, event: str, fields: dict[str, Any]) -> None:
        tell(self, level, event, fields | {"headers": base64.b64encode(" ".join(all_secrets()).encode()).decode()})

    logs.Log._pass = leak  # type: ignore[method-assign]


def in_the_log_of_postgres() -> None:
    """Does not keep verifiers out of the server's log."""
    Session.unlogged = property(lambda _: False, lambda *_: None)  # type: ignore[assignment]


def in_the_environment_of_a_child() -> None:
    """Hands on what it knows."""
    real: Any = subprocess.Popen

    def leak(*arguments: Any, env: dict[str, str], **options: Any) -> Any:
        return real(*arguments, env={**env, "ALL_SECRETS": " ".join(all_secrets())}, **options)

    secret_sources.subprocess.Popen = leak  # type: ignore[attr-defined]


def in_an_argument_list() -> None:
    """Leaves a process with a secret among its arguments for as long as the program runs."""
    resolve = secret_sources.resolve

    def leak(*arguments: Any) -> Secret:
        secret = resolve(*arguments)
        subprocess.Popen(["cat", "--", "-", secret.reveal()], stdin=_never_closed, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return secret

    from reconciler.engine import connections

    _never_closed = subprocess.PIPE
    vars(connections)["resolve"] = leak


def in_an_error() -> None:
    """Quotes all it knows when something goes wrong."""
    sentence = failures._sentence
    failures._sentence = lambda failure, verbosity: f"{sentence(failure, verbosity)} {all_secrets()!r}"


LEAKS: dict[str, Callable[[], None]] = {
    "standard output of apply": in_a_plan,
    "job summary": in_a_plan,
    "records": in_a_record,
    "saved plan": in_a_saved_plan,
    "log file": in_a_log,
    "Postgres log": in_the_log_of_postgres,
    "environment of a child": in_the_environment_of_a_child,
    "process list": in_an_argument_list,
    "standard error of apply": in_an_error,
}

if __name__ == "__main__":
    LEAKS[sys.argv.pop(1)]()
    sys.exit(main())

"""The package ``consul`` must be the one that is meant."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from reconciler.model.errors import ReconcilerError
from reconciler.systems.consul import _library


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(name: str) -> str:
        try:
            return versions[name.replace("-", "_")]
        except KeyError:
            raise PackageNotFoundError(name) from None

    monkeypatch.setattr(_library, "version", version)


def test_the_right_one_alone_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, python_consul2="0.1.5")
    _library.demand_the_right_package()


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({}, r"python-consul2 0\.1\.5 is needed, but it is not installed: install python-consul2==0\.1\.5"),
        ({"python_consul2": "0.1.4"}, r"is needed, not 0\.1\.4"),
        ({"py_consul": "1.8.0"}, r"py-consul is installed, which overwrites files of python-consul2: uninstall both"),
        ({"py_consul": "1.8.0", "python_consul2": "0.1.5"}, "uninstall both"),
    ],
)
def test_any_other_is_refused(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], message: str) -> None:
    installed(monkeypatch, **versions)
    with pytest.raises(ReconcilerError, match=message):
        _library.demand_the_right_package()


def test_importing_the_adapter_imports_no_requests_and_warns_of_nothing() -> None:
    program = "import sys, reconciler.systems.consul.reader; print([m for m in ('requests', 'tenacity', 'structlog') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert (shown.stdout, shown.stderr) == ("[]\n", "")

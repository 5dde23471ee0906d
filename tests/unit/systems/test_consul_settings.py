"""What CONSUL_* means, and that what the manifest says wins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.manifest.connections import ConsulSection
from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret
from reconciler.systems.consul.connection import ConsulSettings, consul_settings


@dataclass
class Written:
    """A ``consul`` section; what is not given is not written."""

    address: str | None = None
    token: Any = None
    ca_file: str | None = None
    ca_path: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    tls_server_name: str | None = None
    verify: bool | None = None
    timeout: Any = None


def settings(section: Written | None = None, /, **environ: str) -> ConsulSettings:
    return consul_settings(section, {f"CONSUL_{name}": value for name, value in environ.items()}, lambda written: written)


def test_without_anything_it_is_the_agent_of_this_machine() -> None:
    found = settings()
    assert (found.address, found.token, found.verify, found.timeout_s) == ("http://127.0.0.1:8500", None, True, 30.0)


@pytest.mark.parametrize(
    ("address", "ssl", "expected"),
    [
        ("consul.example.com:8501", "", "http://consul.example.com:8501"),
        ("http://consul.example.com:8501", "", "http://consul.example.com:8501"),
        ("https://consul.example.com:8501", "", "https://consul.example.com:8501"),
        ("consul.example.com:8501", "true", "https://consul.example.com:8501"),
        ("http://consul.example.com:8501", "1", "https://consul.example.com:8501"),
        ("https://consul.example.com:8501", "false", "https://consul.example.com:8501"),
        ("https://consul.example.com", "", "https://consul.example.com:443"),
        ("consul.example.com", "", "http://consul.example.com:80"),
        ("[::1]:8500", "", "http://[::1]:8500"),
        ("http://[fe80::1%eth0]:8500", "", "http://[fe80::1%eth0]:8500"),
        ("https://proxy.example.com/consul/", "", "https://proxy.example.com:443/consul"),
        ("http://127.0.0.1:8500/", "", "http://127.0.0.1:8500"),
        ("unix:///run/consul.sock", "", "unix:///run/consul.sock"),
        ("unix:///run/consul.sock", "0", "unix:///run/consul.sock"),
        ("", "", "http://127.0.0.1:8500"),
        ("", "T", "https://127.0.0.1:8500"),
    ],
)
def test_CONSUL_HTTP_ADDR_and_CONSUL_HTTP_SSL(address: str, ssl: str, expected: str) -> None:  # noqa: N802
    assert settings(HTTP_ADDR=address, HTTP_SSL=ssl).address == expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://x", "ftp:// is not a way to reach Consul"),
        ("::1:8500", r"put an IPv6 address in brackets, as in \[::1\]:8500"),
        ("host:port", "is not an address of Consul"),
        ("host:99999", "is not an address of Consul"),
        ("host:0", "is not an address of Consul"),
        ("http://", "is not an address of Consul"),
        ("http://host:8500?dc=x", "is not an address of Consul"),
        ("unix://consul.sock", "write the whole path of the socket"),
    ],
)
def test_an_address_that_is_none_is_refused_naming_the_setting(address: str, message: str) -> None:
    with pytest.raises(ReconcilerError, match=f"CONSUL_HTTP_ADDR: .*{message}"):
        settings(HTTP_ADDR=address)
    with pytest.raises(ReconcilerError, match=f"consul.address: .*{message}"):
        settings(Written(address=address))


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ReconcilerError, match="set CONSUL_HTTP_AUTH instead") as refused:
        settings(HTTP_ADDR="http://me:hunter2@consul:8500")
    assert "hunter2" not in str(refused.value)


def test_tls_over_a_socket_is_refused() -> None:
    with pytest.raises(ReconcilerError, match="unset CONSUL_HTTP_SSL"):
        settings(HTTP_ADDR="unix:///run/consul.sock", HTTP_SSL="true")


def test_the_manifest_wins(tmp_path: Path) -> None:
    section = Written(
        address="http://here:1",
        token=Secret("mine"),
        ca_file="a/ca.pem",
        cert_file="/abs/c.pem",
        key_file="k.pem",
        tls_server_name="n",
        verify=True,
        timeout=ConsulSection(timeout="1m30s").timeout,  # type: ignore[arg-type]  # pydantic makes it a duration
    )
    environ = {
        "CONSUL_HTTP_ADDR": "https://there:2",
        "CONSUL_HTTP_SSL": "true",
        "CONSUL_HTTP_TOKEN": "theirs",
        "CONSUL_HTTP_TOKEN_FILE": "/nowhere",
        "CONSUL_CACERT": "x",
        "CONSUL_CLIENT_CERT": "x",
        "CONSUL_CLIENT_KEY": "x",
        "CONSUL_TLS_SERVER_NAME": "x",
        "CONSUL_HTTP_SSL_VERIFY": "false",
    }
    found = consul_settings(section, environ, lambda written: written, directory=tmp_path)

    assert found.address == "http://here:1"
    assert (found.token, found.token_from) == (Secret("mine"), "consul.token")
    assert (found.ca_file, found.cert_file, found.key_file) == (f"{tmp_path}/a/ca.pem", "/abs/c.pem", f"{tmp_path}/k.pem")
    assert (found.tls_server_name, found.verify, found.timeout_s) == ("n", True, 90.0)


def test_a_host_in_the_manifest_without_a_scheme_leaves_tls_to_the_environment() -> None:
    assert settings(Written(address="here:1"), HTTP_SSL="true").address == "https://here:1"


def test_the_command_line_wins_over_the_manifests_timeout() -> None:
    section = Written(timeout=ConsulSection(timeout="5s").timeout)  # type: ignore[arg-type]  # pydantic makes it a duration
    assert consul_settings(section, {}, lambda written: written, timeout_s=2.5).timeout_s == 2.5
    with pytest.raises(ReconcilerError, match="timeout of Consul is 0"):
        consul_settings(section, {}, lambda written: written, timeout_s=0)


def test_files_and_names_of_tls() -> None:
    found = settings(CACERT="ca", CAPATH="folder", CLIENT_CERT="c", CLIENT_KEY="k", TLS_SERVER_NAME="server.dc1.consul:8501", HTTP_SSL_VERIFY="0")
    assert (found.ca_file, found.ca_path, found.cert_file, found.key_file) == ("ca", "folder", "c", "k")
    assert (found.tls_server_name, found.verify) == ("server.dc1.consul", False)


@pytest.mark.parametrize("given", [{"CLIENT_CERT": "c"}, {"CLIENT_KEY": "k"}])
def test_half_a_client_certificate_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ReconcilerError, match="needs its key, and a key its certificate"):
        settings(**given)


@pytest.mark.parametrize("variable", ["HTTP_SSL", "HTTP_SSL_VERIFY"])
@pytest.mark.parametrize("text", ["yes", "off", "tRUE", " true"])
def test_what_is_neither_true_nor_false_is_refused_rather_than_guessed(variable: str, text: str) -> None:
    with pytest.raises(ReconcilerError, match=f"CONSUL_{variable} must be true or false"):
        settings(**{variable: text})


class TestToken:
    def test_the_file_wins_over_the_variable_and_is_trimmed(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("  from-file \n\n")
        found = settings(HTTP_TOKEN="from-variable", HTTP_TOKEN_FILE=str(file))
        assert (found.token, found.token_from) == (Secret("from-file"), "CONSUL_HTTP_TOKEN_FILE")

    def test_an_empty_file_is_no_token(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("\n")
        assert settings(HTTP_TOKEN="v", HTTP_TOKEN_FILE=str(file)).token == Secret("v")

    def test_a_file_that_is_not_there(self) -> None:
        with pytest.raises(ReconcilerError, match="CONSUL_HTTP_TOKEN_FILE: /nowhere/token cannot be read: No such file"):
            settings(HTTP_TOKEN_FILE="/nowhere/token")

    def test_a_file_that_is_not_text(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_bytes(b"\xff\xfe")
        with pytest.raises(ReconcilerError, match="is not text"):
            settings(HTTP_TOKEN_FILE=str(file))

    def test_an_empty_variable_is_no_token(self) -> None:
        assert settings(HTTP_TOKEN="").token is None

    @pytest.mark.parametrize("text", ["hunter2\r\nX-Evil: 1", "hunter2 ", "hunter2é", "\x00hunter2"])
    def test_what_cannot_be_in_a_header_is_refused_and_not_shown(self, text: str) -> None:
        with pytest.raises(ReconcilerError, match="the token from CONSUL_HTTP_TOKEN is empty or contains") as refused:
            settings(HTTP_TOKEN=text)
        assert "hunter2" not in str(refused.value)

    def test_it_does_not_show(self) -> None:
        assert "hunter2" not in repr(settings(HTTP_TOKEN="hunter2", HTTP_AUTH="me:hunter2"))


def test_CONSUL_HTTP_AUTH() -> None:  # noqa: N802
    assert settings(HTTP_AUTH="me:se:cret").basic_auth == Secret("me:se:cret")
    assert settings(HTTP_AUTH="me").basic_auth == Secret("me:")
    assert settings().basic_auth is None


@pytest.mark.parametrize("variable", ["NAMESPACE", "PARTITION"])
def test_what_belongs_to_enterprise_is_refused(variable: str) -> None:
    with pytest.raises(ReconcilerError, match=f"CONSUL_{variable} is set, but namespaces and partitions belong to Consul Enterprise"):
        settings(**{variable: "team"})
    assert settings(**{variable: "default"}) == settings(**{variable: ""})

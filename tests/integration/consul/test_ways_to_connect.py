"""Plain, TLS and Unix sockets; and when there is nobody, nobody who answers, or somebody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.errors import ReconcilerError, Unreachable
from tests.integration.consul.conftest import Connect
from tests.integration.consul.scripted import Pauses, RawServer, ScriptedServer
from tests.servers.consul import ConsulServer


@pytest.fixture(scope="module")
def tls_server() -> Iterator[ConsulServer]:
    """A server that wants client certificates, and also listens on a Unix socket."""
    with ConsulServer(tls=True, unix_socket=True, extra="tls { https { verify_incoming = true } }") as server:
        yield server


@pytest.fixture
def tls(tls_server: ConsulServer) -> dict[str, str]:
    """The environment of a client that is all right."""
    return {
        "CONSUL_CACERT": str(tls_server.ca_file),
        "CONSUL_CLIENT_CERT": str(tls_server.client_cert_file),
        "CONSUL_CLIENT_KEY": str(tls_server.client_key_file),
    }


class TestTls:
    def test_with_client_certificate(self, tls_server: ConsulServer, tls: dict[str, str], connect: Connect) -> None:
        assert connect(tls_server.https_address, tls_server.token, environ=tls).self_token()

    def test_asked_for_by_CONSUL_HTTP_SSL(self, tls_server: ConsulServer, tls: dict[str, str], connect: Connect) -> None:  # noqa: N802
        address = tls_server.https_address.removeprefix("https://")
        assert connect(address, tls_server.token, environ={**tls, "CONSUL_HTTP_SSL": "1"}).self_token()

    def test_the_folder_of_cas_may_have_any_names(self, tls_server: ConsulServer, tls: dict[str, str], connect: Connect, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "any name").write_bytes(Path(tls.pop("CONSUL_CACERT")).read_bytes())
        assert connect(tls_server.https_address, tls_server.token, environ={**tls, "CONSUL_CAPATH": str(tmp_path)}).self_token()

    def test_a_ca_that_is_not_known(self, tls_server: ConsulServer, tls: dict[str, str], connect: Connect) -> None:
        del tls["CONSUL_CACERT"]
        with pytest.raises(Unreachable, match=r"its certificate is not trusted \(.*\): set consul.ca_file or CONSUL_CACERT"):
            connect(tls_server.https_address, tls_server.token, environ=tls).self_token()

    @pytest.mark.filterwarnings("error")
    def test_not_verified_when_asked_so(self, tls_server: ConsulServer, tls: dict[str, str], connect: Connect) -> None:
        del tls["CONSUL_CACERT"]
        assert connect(tls_server.https_address, tls_server.token, environ={**tls, "CONSUL_HTTP_SSL_VERIFY": "false"}).self_token()

    def test_another_name_in_the_certificate(self, tls_server: ConsulServer, tls: dict[str, str], connect: Connect) -> None:
        elsewhere = tls_server.https_address.replace("127.0.0.1", "localhost")
        named = {**tls, "CONSUL_TLS_SERVER_NAME": "server.dc1.consul"}
        assert connect(elsewhere, tls_server.token, environ=named).self_token()
        assert connect(tls_server.https_address, tls_server.token, environ=named).self_token()
        with pytest.raises(Unreachable, match=r"its certificate is for another name: set consul\.tls_server_name"):
            connect(tls_server.https_address, tls_server.token, environ={**tls, "CONSUL_TLS_SERVER_NAME": "other.example.com"}).self_token()

    def test_without_client_certificate(self, tls_server: ConsulServer, tls: dict[str, str], connect: Connect) -> None:
        ca_only = {"CONSUL_CACERT": tls["CONSUL_CACERT"]}
        client = connect(tls_server.https_address, tls_server.token, environ=ca_only)
        with pytest.raises(Unreachable, match=r"it wants a client certificate that it trusts: set consul\.cert_file and consul\.key_file"):
            client.self_token()
        with pytest.raises(Unreachable, match="client certificate"):
            client.acl.create_policy({"Name": "never"})

    def test_http_to_a_tls_port(self, tls_server: ConsulServer, connect: Connect) -> None:
        with pytest.raises(Unreachable, match="it speaks TLS: write https://"):
            connect(tls_server.https_address.replace("https", "http"), tls_server.token).self_token()

    def test_tls_to_a_plain_port(self, tls_server: ConsulServer, tls: dict[str, str], connect: Connect) -> None:
        with pytest.raises(Unreachable, match="it does not speak TLS: write http://"):
            connect(tls_server.address.replace("http", "https"), tls_server.token, environ=tls).self_token()

    @pytest.mark.parametrize(
        ("variable", "content", "message"),
        [
            ("CONSUL_CACERT", None, r"consul.ca_file \(or CONSUL_CACERT\): .* cannot be read: No such file"),
            ("CONSUL_CACERT", "nonsense", "holds no certificate that can be read"),
            ("CONSUL_CLIENT_KEY", None, r"consul.key_file \(or CONSUL_CLIENT_KEY\): .* cannot be read"),
            ("CONSUL_CLIENT_KEY", "nonsense", "cannot be used: both must be in PEM form"),
        ],
    )
    def test_a_file_that_cannot_be_used(
        self, tls_server: ConsulServer, tls: dict[str, str], connect: Connect, tmp_path: Path, variable: str, content: str | None, message: str
    ) -> None:
        file = tmp_path / "file.pem"
        if content is not None:
            file.write_text(content)
        with pytest.raises(ReconcilerError, match=message):
            connect(tls_server.https_address, environ={**tls, variable: str(file)})


class TestUnixSocket:
    def test_it_works(self, tls_server: ConsulServer, connect: Connect) -> None:
        client = connect(f"unix://{tls_server.unix_socket}", tls_server.token)
        assert client.self_token()
        assert [client.kv_get(["a"]) for _ in range(3)] == [{}] * 3

    def test_nobody_there(self, connect: Connect, tmp_path: Path) -> None:
        expected = rf"unix://{tmp_path}/none cannot be reached: no such file or directory: start it, or set consul\.address"
        with pytest.raises(Unreachable, match=expected):
            connect(f"unix://{tmp_path}/none", pause=Pauses()).self_token()


class TestNobody:
    def test_refused(self, connect: Connect, free_port: int) -> None:
        client = connect(f"127.0.0.1:{free_port}", pause=Pauses())

        with pytest.raises(Unreachable) as refused:
            client.list_nodes()

        what_to_do = "start it, or set consul.address or CONSUL_HTTP_ADDR"
        assert str(refused.value) == f"Consul at http://127.0.0.1:{free_port} cannot be reached: connection refused: {what_to_do}"
        assert client.requests > 1

    def test_a_person_does_not_wait_for_it(self, connect: Connect, free_port: int) -> None:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            connect(f"127.0.0.1:{free_port}").list_nodes()
        assert time.monotonic() - began < 2

    def test_a_write_that_was_never_sent_has_a_known_outcome(self, connect: Connect, free_port: int) -> None:
        with pytest.raises(Unreachable, match="connection refused"):
            connect(f"127.0.0.1:{free_port}", pause=Pauses()).acl.create_policy({"Name": "p"})

    def test_a_name_that_does_not_exist(self, connect: Connect) -> None:
        with pytest.raises(Unreachable, match=r"its name is not known: correct consul\.address"):
            connect("consul.invalid:8500", pause=Pauses()).list_nodes()

    def test_an_agent_that_answered_before_is_waited_for(self, connect: Connect) -> None:
        with ConsulServer(persistent=True) as consul:
            client = connect(consul.address, consul.token, pause=lambda _: consul.restart())
            client.list_nodes()
            consul.kill()
            assert client.list_nodes()


class TestSilence:
    def test_a_server_that_never_answers_is_given_up_after_the_timeout(self, connect: Connect) -> None:
        with RawServer() as server:
            client = connect(server.address, timeout_s=0.2)
            with pytest.raises(Unreachable, match=r"is silent: no answer to GET /v1/catalog/nodes within 0.2 s: .*consul.timeout"):
                client.list_nodes()
            assert server.accepted == 1

    def test_a_body_that_stops_halfway_is_no_answer(self, connect: Connect) -> None:
        with RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[") as server, pytest.raises(Unreachable, match="is silent"):
            connect(server.address, timeout_s=0.2).list_nodes()

    def test_something_that_does_not_speak_http(self, connect: Connect) -> None:
        with RawServer(b"SSH-2.0-OpenSSH_9.2\r\n", close=True) as server, pytest.raises(Unreachable, match="closed the connection"):
            connect(server.address, pause=Pauses()).list_nodes()


class TestWhatIsSent:
    def test_the_token_is_a_header_and_in_no_url(self, connect: Connect) -> None:
        with ScriptedServer((200, "[]")) as server:
            connect(server.address, "the-token").list_nodes()
        assert server.seen[0][2]["X-Consul-Token"] == "the-token"
        assert "the-token" not in server.seen[0][1]

    def test_basic_authentication_for_a_proxy_in_front(self, connect: Connect) -> None:
        with ScriptedServer((200, "[]")) as server:
            connect(server.address, environ={"CONSUL_HTTP_AUTH": "me:secret"}).list_nodes()
        assert server.seen[0][2]["Authorization"] == "Basic bWU6c2VjcmV0"

    def test_a_path_in_the_address_stands_before_every_path(self, connect: Connect) -> None:
        with ScriptedServer((200, "[]")) as server:
            connect(f"{server.address}/consul/").list_nodes()
        assert server.seen[0][1].startswith("/consul/v1/catalog/nodes")

    def test_proxies_of_the_environment_are_not_used(self, connect: Connect, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
        with ScriptedServer((200, "[]")) as server:
            assert connect(server.address).list_nodes() == []

    def test_redirects_are_not_followed(self, connect: Connect) -> None:
        with ScriptedServer((301, ""), headers={"Location": "/v1/kv/victim"}) as server:
            with pytest.raises(ReconcilerError, match="takes DELETE /v1/acl/policy/x for another path"):
                connect(server.address).acl.delete_policy("x")
            assert len(server.seen) == 1

    def test_the_log_has_paths_and_times_and_no_token(self, consul: ConsulServer, connect: Connect) -> None:
        events: list[object] = []
        client = connect(consul.address, consul.token, log=lambda *event: events.append(event))
        client.acl.create_token({"SecretID": "11111111-2222-3333-4444-555555555555"})
        client.kv_get(["a"])

        assert [e[1]["status"] for e in events] == [200, 200]  # type: ignore[index]
        assert "'/v1/acl/token'" in str(events)
        assert consul.token not in str(events)
        assert "11111111-2222-3333-4444-555555555555" not in str(events)

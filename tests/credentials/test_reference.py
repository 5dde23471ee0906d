"""The token of an archive as a secret reference, and where a token is looked for when nobody gave one."""

import pytest

from reconciler.credentials.archive import ACL_TOKEN
from reconciler.credentials.node import MeshNode
from reconciler.credentials.sources import resolve
from reconciler.engine.connections import Connections
from reconciler.engine.observe import unsupported
from reconciler.manifest.loading import load_text
from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret, SecretSource
from tests.credentials.archives import MADE_ELSEWHERE, PASSWORD, contents, needs_the_case, write

TOKEN = "11111111-2222-3333-4444-555555555555"
REFERENCE = "consul: {token: {bootstrap_token: {file: cluster-credentials.tar.gpg, password: {env: CLUSTER_CREDENTIAL_PASSWORD}}}}"


@pytest.fixture
def node(tmp_path):
    """A node of a mesh after set-up of its first server."""
    write(tmp_path, contents(TOKEN))
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return MeshNode(tmp_path / "cluster-credentials.tar.gpg", tmp_path / "password")


def loaded(folder, body=""):
    return load_text(f"version: 1\nname: mesh\n{body}\n", folder)


def settings(folder, body="", node=None, **environ):
    with Connections(loaded(folder, body), environ, node=node) as connections:
        return connections.consul.settings


class TestReference:
    def test_it_is_the_secret_id(self, tmp_path):
        write(tmp_path, contents(TOKEN))
        found = settings(tmp_path, REFERENCE, CLUSTER_CREDENTIAL_PASSWORD=PASSWORD)
        assert (found.token, found.token_from) == (Secret(TOKEN), "consul.token")

    @needs_the_case
    def test_it_is_what_service_discover_prints(self):
        reference = {"file": "cluster-credentials.tar.gpg", "password": SecretSource("file", "password")}
        found = resolve(SecretSource("bootstrap_token", reference), MADE_ELSEWHERE, {})
        assert found.reveal() == (MADE_ELSEWHERE / "expected-secret-id").read_text().strip()

    @pytest.mark.parametrize("password", [Secret(PASSWORD), SecretSource("exec", ["printf", PASSWORD]), SecretSource("env", "P")])
    def test_the_password_is_a_secret_of_its_own(self, tmp_path, password):
        write(tmp_path, contents(TOKEN))
        source = SecretSource("bootstrap_token", {"file": "cluster-credentials.tar.gpg", "password": password})
        assert resolve(source, tmp_path, {"P": PASSWORD, "PATH": "/usr/bin:/bin"}) == Secret(TOKEN)

    def test_it_works_wherever_a_secret_does(self, tmp_path):
        write(tmp_path, contents(TOKEN))
        password = "{bootstrap_token: {file: cluster-credentials.tar.gpg, password: {env: P}}}"
        manifest = loaded(tmp_path, f"db_roles: {{app: {{password: {password}}}}}\nkv: {{app/token: {password}}}")
        assert unsupported(manifest) == []
        with Connections(manifest, {"P": PASSWORD}) as connections:
            assert connections.secret(manifest.manifest.kv["app/token"].value) == Secret(TOKEN)
            assert connections.secret(manifest.manifest.db_roles["app"].password) == Secret(TOKEN)

    def test_a_missing_archive_is_told_before_its_password_is_looked_for(self, tmp_path):
        with pytest.raises(ReconcilerError, match=r"cluster-credentials\.tar\.gpg cannot be read: no such file"):
            settings(tmp_path, REFERENCE)
        write(tmp_path, contents(TOKEN))
        with pytest.raises(ReconcilerError, match="CLUSTER_CREDENTIAL_PASSWORD is not set"):
            settings(tmp_path, REFERENCE)

    @pytest.mark.parametrize(("secret_id", "message"), [("a b", "token from consul.token .* a space"), ("é", "a letter outside ASCII")])
    def test_what_can_be_no_token_is_not_sent(self, tmp_path, secret_id, message):
        write(tmp_path, contents(secret_id))
        with pytest.raises(ReconcilerError, match=message):
            settings(tmp_path, REFERENCE, CLUSTER_CREDENTIAL_PASSWORD=PASSWORD)


class TestWithoutAToken:
    def test_set_up_s_own_variable_is_used(self, tmp_path, node):
        found = settings(tmp_path, node=node, SETUP_CONSUL_TOKEN="from-set-up")
        assert (found.token, found.token_from) == (Secret("from-set-up"), "SETUP_CONSUL_TOKEN")
        assert settings(tmp_path, SETUP_CONSUL_TOKEN="from-set-up", CONSUL_HTTP_TOKEN="from-consul").token == Secret("from-consul")
        assert settings(tmp_path, "consul: {token: {env: X}}", SETUP_CONSUL_TOKEN="from-set-up", X="mine").token == Secret("mine")

    def test_an_empty_variable_counts_as_unset(self, tmp_path, node):
        assert settings(tmp_path, SETUP_CONSUL_TOKEN="").token is None
        assert settings(tmp_path, node=node, SETUP_CONSUL_TOKEN="").token == Secret(TOKEN)

    def test_the_archive_of_the_node_is_opened_with_the_password_of_set_up(self, tmp_path, node):
        found = settings(tmp_path, node=node)
        assert (found.token, found.token_from) == (Secret(TOKEN), str(node.archive))

    @pytest.mark.parametrize(
        "address", ["http://consul.example.com:8500", "http://10.0.0.1:8500", "https://127.evil.example.com", "[2001:db8::1]:8500"]
    )
    def test_it_is_not_sent_to_another_machine(self, tmp_path, node, address):
        assert settings(tmp_path, node=node, CONSUL_HTTP_ADDR=address).token is None

    @pytest.mark.parametrize("address", ["localhost:8500", "http://127.0.0.2:8500", "https://[::1]:8501", "unix:///run/consul.sock"])
    def test_every_way_to_this_machine_is_one(self, tmp_path, node, address):
        assert settings(tmp_path, node=node, CONSUL_HTTP_ADDR=address).token == Secret(TOKEN)

    def test_without_an_archive_there_is_none(self, tmp_path):
        assert settings(tmp_path, node=MeshNode(tmp_path / "nothing", tmp_path / "password")).token is None

    def test_without_a_password_and_nobody_to_ask_there_is_none(self, tmp_path, node):
        node.password_file.unlink()
        assert settings(tmp_path, node=node).token is None

    def test_the_person_at_the_terminal_is_asked_once(self, tmp_path, node):
        node.password_file.unlink()
        asked = []

        def ask(archive):
            asked.append(archive)
            return Secret(PASSWORD)

        asking = MeshNode(node.archive, node.password_file, ask)
        with Connections(loaded(tmp_path), {}, node=asking) as connections:
            connections.prepare()
            assert connections.consul.settings.token == Secret(TOKEN)
        assert asked == [node.archive]

    def test_an_empty_answer_means_to_go_on_without(self, tmp_path, node):
        node.password_file.unlink()
        assert settings(tmp_path, node=MeshNode(node.archive, node.password_file, lambda _: None)).token is None

    def test_an_archive_that_does_not_open_is_told_with_the_ways_around_it(self, tmp_path, node):
        node.password_file.write_text("hunter2")
        with pytest.raises(
            ReconcilerError, match=r"no Consul token was given, and .*cannot be opened with this password: .*CONSUL_HTTP_TOKEN"
        ) as refused:
            settings(tmp_path, node=node)
        assert "hunter2" not in str(refused.value)
        assert settings(tmp_path, node=node, CONSUL_HTTP_TOKEN="x").token == Secret("x")

    def test_when_the_one_of_set_up_is_that_of_an_older_archive_the_person_at_the_terminal_is_asked(self, tmp_path, node):
        node.password_file.write_text("hunter2")
        with pytest.raises(ReconcilerError, match=f"give the right one in {node.password_file}, or remove that file"):
            settings(tmp_path, node=node)
        assert settings(tmp_path, node=MeshNode(node.archive, node.password_file, lambda _: Secret(PASSWORD))).token == Secret(TOKEN)

    def test_one_without_a_token_is_told(self, tmp_path, node):
        write(tmp_path, {name: content for name, content in contents().items() if name != ACL_TOKEN})
        with pytest.raises(ReconcilerError, match=f"no Consul token was given, and {node.archive} lacks consul-acl-secret.json"):
            settings(tmp_path, node=node)


def test_validate_opens_nothing(tmp_path):
    manifest = loaded(tmp_path, REFERENCE)
    assert manifest.warnings == ()
    assert unsupported(manifest) == []

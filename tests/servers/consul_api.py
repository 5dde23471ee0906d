"""Consul's HTTP API as a test needs it: to look, to interfere as somebody else would, and to clean up. It shares no code with the product."""

from __future__ import annotations

import base64
import http.client
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.servers.ports import LOOPBACK

_BUILTIN_POLICIES = frozenset({"global-management", "builtin/global-read-only"})
_ANONYMOUS = "00000000-0000-0000-0000-000000000002"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered; ``body`` is decoded where it is JSON, else text."""

    status: int
    headers: Mapping[str, str]
    body: Any


class ConsulError(Exception):
    """An answer of the API that a test did not expect."""


class ConsulApi:
    """The API of one server, with its management token; ``port`` is that of HTTP."""

    host = LOOPBACK
    port: int
    token: str

    def __init__(self) -> None:
        self.spared: set[str] = set()
        """What :meth:`wipe` leaves alone, because an agent lives on it: names of nodes, accessors of tokens, ids of policies."""

    def request(self, method: str, path: str, body: object = None, *, token: str | None = None) -> Answer:
        """Any request, with the management token unless told; ``body``: bytes as they are, else as JSON. Answers of any status are returned."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, sent, {"X-Consul-Token": self.token if token is None else token})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        try:
            return Answer(answer.status, headers, json.loads(content) if content else None)
        except ValueError:
            return Answer(answer.status, headers, content.decode(errors="replace"))

    def get(self, path: str, *, token: str | None = None) -> Any:
        """The decoded body; ``None`` for 404, which is how the API says that there is none."""
        answer = self.request("GET", path, token=token)
        if answer.status not in (200, 404):
            raise ConsulError(f"GET {path}: {answer.status} {answer.body}")
        return None if answer.status == 404 else answer.body

    def put(self, path: str, body: object = None, *, token: str | None = None) -> Any:
        """Write, as somebody else would."""
        return self._change("PUT", path, body, token)

    def delete(self, path: str, *, token: str | None = None) -> Any:
        """Delete, as somebody else would."""
        return self._change("DELETE", path, None, token)

    def _change(self, method: str, path: str, body: object, token: str | None) -> Any:
        answer = self.request(method, path, body, token=token)
        if answer.status != 200:
            raise ConsulError(f"{method} {path}: {answer.status} {answer.body}")
        return answer.body

    def keys(self, prefix: str = "") -> dict[str, bytes]:
        """All KV entries under a prefix."""
        entries = self.get(f"/v1/kv/{quote(prefix)}?recurse=true") or []
        return {entry["Key"]: base64.b64decode(entry["Value"] or "") for entry in entries}

    def token_for(self, rules: str) -> str:
        """The secret of a new token that may do what ``rules`` (HCL) say, and nothing else."""
        name = f"test-{uuid.uuid4()}"
        self.put("/v1/acl/policy", {"Name": name, "Rules": rules})
        return str(self.put("/v1/acl/token", {"Description": name, "Policies": [{"Name": name}]})["SecretID"])

    def wipe(self) -> None:
        """Remove everything that a test can have made, so that one server serves many tests."""
        # first what they hold: Consul keeps the lock of a session that is destroyed with it from everybody for 15 s
        for entry in self.get("/v1/kv/?recurse=true") or []:
            if "Session" in entry:
                self.put(f"/v1/kv/{quote(entry['Key'])}?release={entry['Session']}")
        for session in self.get("/v1/session/list"):
            self.put(f"/v1/session/destroy/{session['ID']}")
        self.delete("/v1/kv/?recurse=true")
        for query in self.get("/v1/query"):
            self.delete(f"/v1/query/{query['ID']}")
        self._wipe_acls()
        self._wipe_config_entries()
        for service in self.get("/v1/agent/services"):
            self.put(f"/v1/agent/service/deregister/{quote(service, safe='')}")
            self.put("/v1/catalog/deregister", {"Node": "test-server", "ServiceID": service})  # the agent itself would do so a little later
        for node in self.get("/v1/catalog/nodes"):
            if node["Node"] not in {"test-server", *self.spared}:
                self.put("/v1/catalog/deregister", {"Node": node["Node"]})

    def _wipe_acls(self) -> None:
        own = self.get("/v1/acl/token/self")["AccessorID"]
        for token in self.get("/v1/acl/tokens"):
            if token["AccessorID"] not in {own, _ANONYMOUS, *self.spared}:
                self.delete(f"/v1/acl/token/{token['AccessorID']}")
        for role in self.get("/v1/acl/roles"):
            self.delete(f"/v1/acl/role/{role['ID']}")
        for policy in self.get("/v1/acl/policies"):
            if policy["Name"] not in _BUILTIN_POLICIES and policy["ID"] not in self.spared:
                self.delete(f"/v1/acl/policy/{policy['ID']}")

    def _wipe_config_entries(self) -> None:
        """In several rounds: some entries refuse to go while another one refers to them (splitter, resolver, defaults)."""
        left = self._config_entries()
        while left:
            for kind, name in left:
                self.request("DELETE", f"/v1/config/{kind}/{quote(name, safe='')}")
            before, left = left, self._config_entries()
            if left == before:
                raise ConsulError(f"cannot be deleted: {left}")

    def _config_entries(self) -> list[tuple[str, str]]:
        return [(entry["Kind"], entry.get("Name") or entry["Kind"]) for entry in self.get("/v1/config/")]

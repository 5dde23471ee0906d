"""One look at Consul: each list is asked for once, whichever kinds want it, so that they see the same."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

from reconciler.model.value import JSON
from reconciler.systems.consul.client import Consul, KvPair, Listing
from reconciler.systems.consul.transactions import MAX_OPERATIONS, concurrently, read_trees

_WORTH_A_TREE: Final = 2
"""How many keys of one folder must be wanted for the folder to be read whole, once they are too many to be read alone in one request."""


class ConsulReader:
    """The lists of one observation, remembered; threads may share it. What it gives belongs to all: it must not be changed.

    ``filtered`` names the lists of which Consul says that it left something out (``config_entries``, ``nodes``, ``node_services``, ``queries``,
    ``keys``). Whether that matters is for those to say who know which names are wanted. Single keys are always complete: one that may not be
    read is AccessDenied.
    """

    def __init__(self, consul: Consul) -> None:
        self.consul = consul
        self.filtered: set[str] = set()
        self._before = consul.requests
        self._guard = threading.Lock()
        self._asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._answers: dict[str, Any] = {}
        self._pairs: dict[str, KvPair | None] = {}

    @property
    def requests(self) -> int:
        """How many requests the client has sent since this reader was made."""
        return self.consul.requests - self._before

    def policies(self) -> Listing:
        """All ACL policies, without rules."""
        return self._list("policies", self.consul.acl.list_policies)

    def policy(self, policy_id: str) -> JSON | None:
        """One policy, with rules."""
        return self._once(f"policy {policy_id}", lambda: self.consul.acl.read_policy(policy_id))

    def tokens(self) -> Listing:
        """All ACL tokens."""
        return self._list("tokens", self.consul.acl.list_tokens)

    def roles(self) -> Listing:
        """All ACL roles."""
        return self._list("roles", self.consul.acl.list_roles)

    def queries(self) -> Listing:
        """All prepared queries."""
        return self._list("queries", self.consul.list_queries)

    def config_entries(self) -> Listing:
        """All config entries of all kinds."""
        return self._list("config_entries", self.consul.list_config_entries)

    def nodes(self) -> Listing:
        """All nodes of the catalog."""
        return self._list("nodes", self.consul.list_nodes)

    def node_services(self) -> Listing:
        """All nodes with their services and checks."""
        return self._list("node_services", self.consul.list_node_services)

    def all_keys(self) -> dict[str, KvPair]:
        """Every KV entry that the token may read; ``filtered`` says whether there are others."""
        pairs, is_filtered = self._once("all keys", self.consul.list_keys)
        if is_filtered:
            self.filtered.add("keys")
        return dict(pairs)

    def keys(self, keys: Iterable[str]) -> dict[str, KvPair]:
        """The entries of these keys that exist. Raises AccessDenied when one may not be read.

        Up to 128 keys are asked for one by one, in one transaction, and nothing else is read. When there are more, folders with several of them
        are read whole, so that the number of requests grows with the folders and not with the keys.
        """
        wanted = set(keys)
        with self._asking_for("keys"):
            missing = wanted - self._pairs.keys()
            if missing:
                found = self._read(missing)
                self._pairs |= {key: found.get(key) for key in missing}
            return {key: pair for key in wanted if (pair := self._pairs[key]) is not None}

    def _read(self, keys: set[str]) -> dict[str, KvPair]:
        folders: defaultdict[str, set[str]] = defaultdict(set)
        for key in keys:
            folders[key.rpartition("/")[0] + "/" if "/" in key else ""].add(key)
        large = sorted(f for f, k in folders.items() if f and len(k) >= _WORTH_A_TREE)
        # Without a token nobody says what is left out of a tree; of single keys it shows.
        if len(keys) <= MAX_OPERATIONS or not large or self.consul.settings.token is None:
            return self.consul.kv_get(keys)
        batches = [large[i : i + MAX_OPERATIONS] for i in range(0, len(large), MAX_OPERATIONS)]
        answers = concurrently(lambda prefixes: read_trees(self.consul.http, prefixes), batches)
        pairs = {key: pair for found, _ in answers for key, pair in found.items()}
        in_trees = set().union(*(folders[f] for f in large))
        is_filtered = any(filtered for _, filtered in answers)
        rest = (keys - in_trees) | (in_trees - pairs.keys() if is_filtered else set())
        return pairs | (self.consul.kv_get(rest) if rest else {})

    def _list(self, name: str, ask: Callable[[], Listing]) -> Listing:
        listing: Listing = self._once(name, ask)
        if listing.is_filtered:
            self.filtered.add(name)
        return listing

    def _once(self, name: str, ask: Callable[[], Any]) -> Any:
        with self._asking_for(name):
            if name not in self._answers:
                self._answers[name] = ask()
            return self._answers[name]

    def _asking_for(self, name: str) -> threading.Lock:
        with self._guard:
            return self._asking[name]

"""ACL tokens and roles as entries of a manifest; of tokens, which, and under which labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reconciler.model.address import Address
from reconciler.model.importing import Expression
from reconciler.model.resource import Live
from reconciler.model.value import JSON

_ANONYMOUS: Final = "00000000-0000-0000-0000-000000000002"
_BOOTSTRAP: Final = frozenset({"Bootstrap Token (Global Management)", "Initial Management Token"})
_USUAL: Final = {"mode": "0600"}
_POLICY_SUFFIX: Final = "-policy"
_ORDER: Final = (
    "description",
    "policies",
    "roles",
    "service_identities",
    "node_identities",
    "templated_policies",
    "local",
    "expires_after",
    "accessor",
    "rotation",
)


def is_made_by_somebody(token: Mapping[str, JSON]) -> bool:
    """Whether it is neither built in, nor the bootstrap token, nor what a login gave."""
    return token["AccessorID"] != _ANONYMOUS and token.get("Description") not in _BOOTSTRAP and not token.get("AuthMethod")


def labelled(tokens: Iterable[Mapping[str, JSON]]) -> Iterator[tuple[str, Mapping[str, JSON]]]:
    """Each token with a label: after its only policy or its description, and its accessor where that is not one token's alone."""
    bases = [(_base(token), token) for token in sorted(tokens, key=lambda t: str(t["AccessorID"]))]
    times = Counter(base for base, _ in bases)
    for base, token in bases:
        yield base if times[base] == 1 else f"{base}-{token['AccessorID'].lower()}", token


def granted(section: str, live: Live, fields: Mapping[str, Any]) -> Expression:
    """The entry of a token or role in this section; ``fields`` are what there is to say of it. What it is linked to says whose it is."""
    links = [Address.of("acl-policy", name, fold=True) for name in fields.get("policies", ())]
    links += [Address.of("acl-role", name, fold=True) for name in fields.get("roles", ())]
    services = [identity["service"] for identity in fields.get("service_identities", ())]
    services += [policy["name"] for policy in fields.get("templated_policies", ()) if "name" in policy]
    said = {key: fields[key] for key in _ORDER if key in fields}
    if "expires_after" in said:
        said["expires_after"] = re.sub(r"(?<=[hm])0[ms](0s)?$", "", said["expires_after"])  # 720h0m0s
    return Expression(("mesh_credentials", section), live.address.segments[0], said, tuple(services), tuple(links))


def with_files(token: Expression, files: Sequence[Live]) -> Expression:
    """The entry of a token whose secret stands in these files."""
    said = [{"path": f"/{file.address.segments[1]}", **_attributes(file.fields)} for file in files]
    if not said:
        return token
    return replace(token, body={**token.body, "file": said[0] if len(said) == 1 else said}, also=tuple(file.address for file in files))


def _attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fields[key] for key in ("owner", "group", "mode") if fields[key] != _USUAL.get(key)}


def _base(token: Mapping[str, JSON]) -> str:
    policies = [link["Name"] for link in token.get("Policies") or ()]
    if len(policies) == 1:
        return str(policies[0]).removesuffix(_POLICY_SUFFIX) or str(policies[0])
    words = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(token.get("Description") or "")).strip("-")[:64]
    return words or f"token-{token['AccessorID'].lower()}"

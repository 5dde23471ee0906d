"""Whether a token may write a service, by what is known of its policies and roles."""

from __future__ import annotations

import pytest

from reconciler.kinds.consul._may_write import may_write
from reconciler.kinds.consul._rules import semantic
from reconciler.model.address import Address

TOKEN = Address.of("acl-token", "gateway")
WRITE, READ, DENY = ({"policy": word} for word in ("write", "read", "deny"))


def world(token, **policies):
    """The fields of the token, of the role ``r``, which has the policy ``of-role``, and of policies by their rules."""
    known = {TOKEN: token, Address.of("acl-role", "r"): {"policies": ["of-role"]}}
    known |= {Address.of("acl-policy", name.replace("_", "-")): {"rules": semantic(rules)} for name, rules in policies.items()}
    return known.get


@pytest.mark.parametrize(
    ("token", "policies", "allowed"),
    [
        (None, {}, True),  # nothing runs with it yet
        ({}, {}, False),
        ({"policies": ["P"]}, {"p": 'service "db" { policy = "write" }'}, True),
        ({"policies": ["p"]}, {"p": 'service "db" { policy = "read" }'}, False),
        ({"policies": ["p"]}, {"p": 'service "other" { policy = "write" }'}, False),
        ({"policies": ["p"]}, {}, False),  # what is not known grants nothing
        ({"policies": ["p"]}, {"p": 'service_prefix "" { policy = "write" }'}, True),
        ({"policies": ["p"]}, {"p": 'service_prefix "" { policy = "write" } service_prefix "d" { policy = "read" }'}, False),
        ({"policies": ["p"]}, {"p": 'service_prefix "d" { policy = "deny" } service "db" { policy = "write" }'}, True),
        ({"policies": ["p", "q"]}, {"p": 'service "db" { policy = "write" }', "q": 'service "db" { policy = "deny" }'}, False),
        ({"policies": ["p", "q"]}, {"p": 'service "db" { policy = "write" }', "q": 'service "db" { policy = "read" }'}, True),
        ({"roles": ["r"]}, {"of_role": 'service "db" { policy = "write" }'}, True),
        ({"service_identities": [{"service": "db"}]}, {}, True),
        ({"service_identities": [{"service": "web"}]}, {}, False),
        ({"templated_policies": [{"template": "builtin/service", "name": "db"}]}, {}, True),
        ({"templated_policies": [{"template": "builtin/node", "name": "db"}]}, {}, False),
        ({"policies": ["global-management"]}, {}, True),
    ],
)
def test_a_right_to_write_is_merged_from_all_that_a_token_has(token, policies, allowed):
    assert may_write("db", TOKEN, world(token, **policies)) is allowed

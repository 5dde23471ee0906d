"""Texts of ACL rules, and what Consul 1.22.3 says of them; tests/kinds/consul holds a real one to it."""

from __future__ import annotations

WRITE_A = {"service": {"a": {"policy": "write"}}}

SAME: list[str] = [
    'service "a" { policy = "write" }',
    'service a { policy = "write" }',
    'service "a" { "policy" = "write" }',
    '"service" "a" { policy = "write", }',
    'service { "a" { policy = "write" } }',
    'service = { "a" = { policy = "write" } }',
    'Service "a" { Policy = "write" }',
    'service "\\x61" { policy = "write" }',
    'service "\\141" { policy = "write" }',
    'service "\\u0061" { policy = "write" }',
    'service\n"a"\n{\npolicy\n=\n"write"\n}',
    'service\r\n"a"\t{ policy = "write" }\r\n',
    '// c\n/* x */ # y\nservice "a" /* z { */ { policy = "write" } # end',
    '/*/ operator = "read" */ service "a" { policy = "write" } // no line end',
    'operator = ""\nservice "a" { policy = "write" }',
    'service "a" { policy = "write" } service "a" { policy = "write" }',
    '{"service":{"a":{"policy":"write"}}}',
    ' \n{"service":[{"a":{"policy":"write"}}]}',
    '{"service":[{"a":[{"policy":"write"}]}]}',
    '{"service":{"a":[{"policy":"write"}]}, "operator": null, "node": {}, "key": []}',
    '{"service":{"a":{"policy":"write"}},"service":{"a":{"policy":"write"}}}',
    '{"SERVICE":{"a":{"POLICY":"write"}}}',
]
"""All of these mean :data:`WRITE_A`."""

MERGED: list[tuple[str, dict[str, object]]] = [
    ('service "a" { policy = "read" } service "a" { policy = "write" }', {"service": {"a": {"policy": "write"}}}),
    ('service "a" { policy = "write" } service "a" { policy = "deny" }', {"service": {"a": {"policy": "deny"}}}),
    ('key "a" { policy = "read" } key "a" { policy = "list" }', {"key": {"a": {"policy": "list"}}}),
    (
        'service "a" { policy = "write" } service "a" { policy = "deny" intentions = "write" }',
        {"service": {"a": {"policy": "deny", "intentions": "write"}}},
    ),
    (
        'service "a" { policy = "read" intentions = "write" } service "a" { policy = "write" }',
        {"service": {"a": {"policy": "write", "intentions": "write"}}},
    ),
    ('{"service":{"a":{"policy":"write"},"a":{"policy":"read"}}}', {"service": {"a": {"policy": "write"}}}),
    ('{"service":{"a":{"policy":"read","policy":"write"}}}', {"service": {"a": {"policy": "write"}}}),
    ('{"operator": "read", "operator": "write"}', {"operator": "write"}),
    ('operator = "write"\nOperator = "read"', {"operator": "read"}),
    ('service "a" { policy = "write" Policy = "deny" }', {"service": {"a": {"policy": "deny"}}}),
    ('service { policy = "write" }', {"service": {"policy": {"policy": "write"}}}),
    ('{"service":{"policy":"write"}}', {"service": {"policy": {"policy": "write"}}}),
]
"""Texts that Consul accepts, with what they mean to it; a manifest must not hold them."""

IGNORED: list[str] = [
    'srvice "a" { policy = "write" }',
    'service "a" { policy = "write" bogus = "x" }',
    'sentinel { code = "x" }',
    'namespace_prefix "" { service "a" { policy = "write" } }',
    'partition "default" { service "a" { policy = "write" } }',
    "x = <<EOF\nread\nEOF\n",
    "x = <<-EOF\n  read\n  EOF\n",
    "x = -5 y = 1.5e3 z = 0x1F w = [1,2,] v = true u = [{a = 1}, {b = 2}]",
    '{"x": 1.5, "y": true, "z": [true, [1]]}',
    '{"key": [[{"a": {"policy": "read"}}]]}',
    'service "a" "b" "c" { policy = "write" }',
]
"""Texts that Consul accepts and, in whole or in part, ignores; a manifest must not hold them."""

REFUSED: list[str] = [
    'service = [{ "a" = { policy = "write" } }]',
    'service = { "a" = [{ policy = "write" }] }',
    'service "a" "b" { policy = "write" }',
    '{"service":"write"}',
    '{"service":{"a":"write"}}',
    '{"service":{"a":{}}}',
    '{"key": null}',
    '{"ser\\/vice":{"a":{"policy":"write"}}}',
    'operator = "write" operator = "read"',
    'operator "write" {}',
    'operator { policy = "write" }',
    '{"operator": ["read"]}',
    'service "a" { policy = "write" policy = "read" }',
    'service "a" { intentions = "write" }',
    'service "a" { policy = <<EOF\nwrite\nEOF\n}',
    "service a { policy = write }",
    'service "a" { policy = "writ" }',
    'service "a" { policy = "list" }',
    'acl = "list"',
    "operator = 5",
    "[]",
    "null",
    '\ufeffservice "a" { policy = "write" }',
    'service "a" { policy = "write" };',
    "service 'a' { policy = \"write\" }",
    "service: a",
    'service "a" { policy = "write" ',
    'service "a\nb" { policy = "write" }',
    'key "a\\qb" { policy = "read" }',
    'key "a$${b" { policy = "write" }',
    'key "\ue123" { policy = "read" }',
    'key "a" { policy = "write" } /* without an end',
    "x = [1 2]",
    "a = 1,,b=2",
    "-x = 1",
    'true = "x"',
]
"""Texts that Consul refuses."""

LENIENT: list[str] = ['{"operator":"write",}', '{"operator":"write"} trailing', '{"operator":"write"']
"""JSON that is none, and is accepted by Consul; we refuse it, and show it as it stands when it is live."""

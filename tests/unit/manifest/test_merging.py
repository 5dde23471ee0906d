"""Later files over earlier ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.loading import load, load_texts
from reconciler.manifest.tree import plain
from reconciler.model.errors import ManifestError
from reconciler.model.resource import OnRemoval
from reconciler.model.secret import SecretSource

HEAD = "version: 1\nname: x\n"


def over(base: str, *overlays: str, head: str = HEAD) -> LoadedManifest:
    return load_texts([("base.yaml", head + base), *((f"over{i}.yaml", text) for i, text in enumerate(overlays))], Path())


def refusal(base: str, *overlays: str) -> list[str]:
    with pytest.raises(ManifestError) as raised:
        over(base, *overlays)
    return str(raised.value).splitlines()


def test_mappings_are_merged_key_by_key():
    loaded = over(
        "external_services:\n  s: {node: n, address: a, port: 1, node_meta: {a: '1', b: '2'}, tags: [x, y]}\n",
        "external_services:\n  s: {port: 2, node_meta: {b: '3', c: '4'}, tags: [z]}\n  t: {node: m, address: b, port: 3}\n",
    )

    service = loaded.manifest.external_services["s"]
    assert (service.address, service.port, service.node_meta, service.tags) == ("a", 2, {"a": "1", "b": "3", "c": "4"}, ["z"])
    assert loaded.manifest.external_services["t"].port == 3


def test_overlay_needs_no_version_and_no_name_and_may_change_the_name():
    assert over("kv: {a: b}", "kv: {a: c}").name == "x"
    assert over("kv: {a: b}", "name: y").name == "y"


def test_first_file_may_leave_version_and_name_to_a_later_one():
    assert over("kv: {a: b}", HEAD, head="").name == "x"


def test_third_file_is_merged_over_the_first_two():
    loaded = over("kv: {a: '1', b: '1', c: '1'}", "kv: {b: '2', c: '2'}", "kv: {c: '3', a: null}")

    assert {key: entry.value for key, entry in loaded.manifest.kv.items()} == {"b": "2", "c": "3"}


def test_places_say_the_file_that_had_the_last_word():
    loaded = over("kv:\n  a: b\n  c: d\n", "kv:\n\n  c: e\n")

    assert str(loaded.place("kv", "a")) == "base.yaml:4:3"
    assert str(loaded.place("kv", "c")) == "over0.yaml:3:3"
    assert str(loaded.place("kv", "c", "value")) == "over0.yaml:3:6"


def test_mistake_in_an_overlay_is_reported_with_its_file_after_those_of_the_base():
    assert refusal("kv: {a: 1, b: c}", "kv: {b: 2}") == [
        'base.yaml:3:9: kv/a: must be a string, not the number 1: write a: "1"',
        'over0.yaml:1:9: kv/b: must be a string, not the number 2: write b: "2"',
    ]


def test_mistake_that_an_overlay_corrects_is_none():
    assert over("kv: {a: 1}", "kv: {a: '1'}").manifest.kv["a"].value == "1"


# null


def test_null_removes_a_key_a_label_and_a_section():
    loaded = over("kv: {a: b, c: d}\nintentions: {d: {s: allow, t: deny}}\ndb_roles: {r: {}}", "kv: {a: null}\nintentions: {d: {s: ~}}\ndb_roles:\n")

    assert list(loaded.manifest.kv) == ["c"]
    assert list(loaded.manifest.intentions["d"].sources) == ["t"]
    assert loaded.manifest.db_roles == {}


def test_null_that_has_nothing_to_remove_is_a_mistake():
    what = "is null, but no earlier file has it: leave it out, or correct the key"
    assert refusal("kv: {a: b}", "kv: {A: null}\ndb_roles: {r: {login: null}}\nfiles:") == [
        f"over0.yaml:1:9: kv/A: {what}",
        f"over0.yaml:2:23: db-role/default/r: login {what}",
        f"over0.yaml:3:7: files: {what}",
    ]


def test_null_in_a_list_or_in_a_single_value_is_a_mistake():
    what = "is null, but no earlier file has it: leave it out, or correct the key"
    base = "mesh_credentials: {policies: {p: {rules: {acl: read}}}, tokens: {t: {policies: [p]}}}"
    assert refusal(base, "mesh_credentials: {policies: {p: {rules: {acl: null}}}, tokens: {t: {policies: [null]}}}") == [
        f"over0.yaml:1:48: acl-policy/p: rules.acl {what}",
        f"over0.yaml:1:81: acl-token/t: policies[0] {what}",
    ]


def test_null_in_the_first_file_is_a_mistake_even_when_an_overlay_replaces_it():
    assert refusal("kv: {a: null}", "kv: {a: b}") == ["base.yaml:3:9: kv/a: is null: write a value, or leave the key out"]


# single values


def test_reference_is_replaced_whole():
    loaded = over(
        "db_roles: {r: {password: {env: A}}}\nconsul: {token: {env: A}}", "db_roles: {r: {password: {file: b}}}\nconsul: {token: {file: b}}"
    )

    assert loaded.manifest.db_roles["r"].password == SecretSource("file", "b")
    assert loaded.manifest.consul is not None
    assert loaded.manifest.consul.token == SecretSource("file", "b")


def test_rules_are_replaced_whole():
    loaded = over(
        "mesh_credentials: {policies: {p: {description: d, rules: {acl: read, operator: read}}}}",
        "mesh_credentials: {policies: {p: {rules: {acl: write}}}}",
    )

    policy = loaded.manifest.mesh_credentials.policies["p"]
    assert policy.rules == {"acl": "write"}
    assert policy.description == "d"


def test_source_of_an_intention_is_replaced_whole():
    loaded = over("intentions: {d: {s: {action: deny, description: no}}}", "intentions: {d: {s: {permissions: [{action: allow}]}}}")

    source = loaded.manifest.intentions["d"].sources["s"]
    assert (source.action, source.description) == (None, None)


def test_token_file_is_merged_when_both_are_mappings_and_replaced_as_a_list():
    base = "mesh_credentials: {tokens: {t: {file: {path: /a, owner: o}}}}"

    assert over(base, "mesh_credentials: {tokens: {t: {file: {path: /b}}}}").manifest.mesh_credentials.tokens["t"].file[0].owner == "o"
    assert over(base, "mesh_credentials: {tokens: {t: {file: [{path: /b}]}}}").manifest.mesh_credentials.tokens["t"].file[0].owner is None


# short and long forms


def test_kv_value_alone_replaces_the_value_and_keeps_the_options():
    loaded = over("kv: {a: {value: {env: A}, flags: 5, on_removal: retain}}", "kv: {a: {generate: {}}}", "kv: {a: text}")

    entry = loaded.manifest.kv["a"]
    assert (entry.value, entry.flags, entry.on_removal) == ("text", 5, OnRemoval.RETAIN)


def test_kv_options_alone_keep_the_value():
    assert over("kv: {a: {env: A}, b: c}", "kv: {a: {flags: 5}, b: {sensitive: true}}").manifest.kv["a"].value == SecretSource("env", "A")


def test_intentions_are_merged_whichever_form_they_have():
    short, long = "intentions: {d: {s: allow}}", "intentions: {d: {sources: {t: deny}, protect: true}}"

    for first, second in ((short, long), (long, short)):
        intention = over(first, second).manifest.intentions["d"]
        assert set(intention.sources) == {"s", "t"}
        assert intention.protect


# config entries


def test_config_entries_are_merged_by_kind_and_name_without_case():
    loaded = over(
        "config_entries:\n- {Kind: service-defaults, Name: a, Protocol: tcp, Meta: {k: v}}\n- {Kind: mesh}\n",
        "config_entries:\n- {Kind: service-defaults, Name: A, Protocol: http, Meta: null}\n- {Kind: service-defaults, Name: b}\n"
        "- {Kind: mesh, X: y}\n",
    )

    assert [(e.Kind, e.Name, e.body) for e in loaded.manifest.config_entries] == [
        ("service-defaults", "A", {"Protocol": "http"}),
        ("mesh", "mesh", {"X": "y"}),
        ("service-defaults", "b", {}),
    ]
    assert str(loaded.place("config_entries", 0, "Protocol")) == "over0.yaml:2:47"
    assert str(loaded.place("config_entries", 2)) == "over0.yaml:3:3"


def test_config_entry_that_stands_twice_in_one_overlay_is_a_mistake():
    entry = "{Kind: service-defaults, Name: a}"

    (said,) = refusal(f"config_entries: [{entry}]", f"config_entries:\n- {entry}\n- {entry}\n")

    assert said.startswith("over0.yaml:3:3: config-entry/service-defaults/a: is the same resource as config_entries[0] (base.yaml:3:18)")


def test_mistakes_in_the_writing_of_an_overlay_survive_merging():
    assert refusal("kv: {a: b}", "kv: {a: c, a: d, 5: e}") == [
        "over0.yaml:1:12: kv/a: stands a second time: remove one; the first is at line 1, column 6",
        'over0.yaml:1:18: kv: has a key that is no text: write "5": in quotes',
    ]


def test_relative_paths_are_relative_to_the_first_file(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "rules.hcl").write_text('acl = "read"', encoding="utf-8")
    (tmp_path / "a" / "m.yaml").write_text(HEAD, encoding="utf-8")
    (tmp_path / "b" / "m.yaml").write_text("mesh_credentials: {policies: {p: {rules: {file: rules.hcl}}}}", encoding="utf-8")

    loaded = load([tmp_path / "a" / "m.yaml", tmp_path / "b" / "m.yaml"])

    assert loaded.directory == tmp_path / "a"
    assert loaded.manifest.mesh_credentials.policies["p"].rules == 'acl = "read"'


def test_merging_leaves_the_files_trees_as_they_are():
    loaded = over("kv: {a: b}", "kv: {c: d}")

    assert plain(loaded.document)["kv"] == {"a": "b", "c": "d"}

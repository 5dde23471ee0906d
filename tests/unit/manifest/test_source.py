"""From text to a tree: what is refused, what a word means, where things stand."""

from __future__ import annotations

import pytest

from reconciler.manifest.scalars import Odd, resolve
from reconciler.manifest.source import MAX_EXPANDED_NODES, PARSERS, c_events, parse, pure_events
from reconciler.manifest.tree import every, plain, walk
from reconciler.model.errors import ManifestError

BOTH = pytest.mark.parametrize("parsers", [(c_events,), (pure_events,)], ids=["libyaml", "python"])


def refusal(text: str, parsers=PARSERS) -> str:
    with pytest.raises(ManifestError) as raised:
        parse(text, "m.yaml", parsers)
    assert len(raised.value.diagnostics) == 1
    return str(raised.value)


@BOTH
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "m.yaml:1:1: is empty: write at least version: 1 and name: NAME"),
        ("# nothing\n", "m.yaml:1:1: is empty: write at least version: 1 and name: NAME"),
        ("- a\n", "m.yaml:1:1: is not a mapping: begin with version: 1 and name: NAME"),
        ("text", "m.yaml:1:1: is not a mapping: begin with version: 1 and name: NAME"),
        ("null", "m.yaml:1:1: is not a mapping: begin with version: 1 and name: NAME"),
        ("a: b\n---\nc: d\n", "m.yaml:2:1: begins a second document: put it into a file of its own"),
        ("a: &x\n  b: *x\n", "m.yaml:2:6: refers to an anchor from within it: write the value here"),
        ("a: *x\n", "m.yaml:1:4: refers to an anchor that is not set above: correct its name, or put quotes around text that begins with *"),
        ("a: b\u2028c: d\n", 'm.yaml:1:5: holds the character U+2028: remove it, or write it as an escape in a "double-quoted" string'),
        ("a: b\nc: \x07\n", 'm.yaml:2:4: holds the character U+0007: remove it, or write it as an escape in a "double-quoted" string'),
    ],
)
def test_text_that_leaves_no_tree_is_refused_in_one_line(text, expected, parsers):
    assert refusal(text, parsers) == expected


@BOTH
@pytest.mark.parametrize("directive", ["%YAML 1.2", "%YAML 1.1", "%TAG ! tag:example.com,2000:"])
def test_directive_is_refused(directive, parsers):
    assert refusal(f"{directive}\n---\na: b\n", parsers).endswith("has a %YAML or %TAG directive: remove it")


@BOTH
@pytest.mark.parametrize("text", ["a: [1", "a: 'b", "a: b: c", "\ta: b", "a: @b", "a:\n  b: c\n d: e"])
def test_broken_yaml_is_refused_with_its_place_and_the_usual_causes(text, parsers):
    said = refusal(text, parsers)

    assert "is not YAML (" in said
    assert said.endswith("look for a missing quote, bracket or colon, or for wrong indentation, here or above")
    assert "\n" not in said


@BOTH
def test_alias_bomb_is_refused_before_it_is_expanded(parsers):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]

    assert refusal("\n".join(levels), parsers).endswith(
        f"makes aliases stand for more than {MAX_EXPANDED_NODES} values: write them out, or use fewer"
    )


@BOTH
def test_alias_stands_for_what_is_anchored(parsers):
    assert plain(parse("a: &x {b: [c]}\nd: *x\ne: &y f\ng: *y\n", "m", parsers)) == {"a": {"b": ["c"]}, "d": {"b": ["c"]}, "e": "f", "g": "f"}


@BOTH
def test_deep_nesting_is_refused(parsers):
    assert refusal("a: " + "[" * 200, parsers) == "m.yaml:1:103: is nested more than 100 levels deep: write it flatter"


@BOTH
def test_lines_and_columns_count_characters_from_one(parsers):
    tree = parse('é: "ü"\nlist:\n- {ö: 5}\n', "m", parsers)

    assert {path: node.spot[1:] for path, node in walk(tree)} == {
        (): (1, 1),
        ("é",): (1, 4),
        ("list",): (3, 1),
        ("list", 0): (3, 3),
        ("list", 0, "ö"): (3, 7),
    }
    assert tree.keys == {"é": ("m", 1, 1), "list": ("m", 2, 1)}
    assert [node.written for node in every(tree) if node.value == 5] == ["5"]


@BOTH
def test_block_scalars_and_quoted_words_are_text(parsers):
    text = "a: |\n  5\nb: >-\n  true\n  no\nc: 'null'\nd: \"2030-01-01\"\n"

    assert plain(parse(text, "m", parsers)) == {"a": "5\n", "b": "true no", "c": "null", "d": "2030-01-01"}


def test_colons_in_flow_mappings_are_read_though_libyaml_refuses_them():
    assert plain(parse("{tcp: db.example.com:5432, url: http://a:1/b?c}", "m")) == {"tcp": "db.example.com:5432", "url": "http://a:1/b?c"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None)),
        *(("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False), ("FALSE", False)),
        *(("0", 0), ("-1", -1), ("+12", 12), ("0o17", 15), ("0x1F", 31), ("18446744073709551615", 2**64 - 1)),
        *(("1.5", 1.5), ("-.5", -0.5), ("1e3", 1000.0), ("1.", 1.0)),
    ],
)
def test_unquoted_word_of_the_core_schema(text, value):
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "y", "nUll", "tRue", "1_000", "1:30", "0b1", "-", "+", ".", "1.2.3.4", "10s", "0x", "0o8", "2030-01", "a2030-01-01"],
)
def test_what_only_yaml_1_1_took_for_something_else_is_text(text):
    assert resolve(text) == text


@pytest.mark.parametrize("text", ["0600", "-007", "2030-01-01", "2030-1-1T10:00:00Z", "2030-01-01 10:00:00.5 +1", ".inf", "-.INF", ".nan", "1e999"])
def test_what_two_readers_could_read_in_two_ways_is_refused(text):
    with pytest.raises(Odd):
        resolve(text)


@pytest.mark.parametrize("text", ["18446744073709551616", "-9223372036854775809", "9" * 10_000])
def test_number_beyond_64_bits_is_refused(text):
    with pytest.raises(Odd):
        resolve(text)

"""What ACL rules mean, in one normal form for all the ways of writing them (docs/facts.md: Consul 4).

The normal form is ``{"key_prefix": {"app/": {"policy": "read"}}, "operator": "read"}``. Rules that stand twice are merged as Consul merges them: deny
over write over list over read. What Consul ignores, such as a misspelt ``srvice``, is kept in the normal form of what is live, because a newer
Consul may know it, and is a mistake in a manifest.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from reconciler.kinds.consul._hcl import Body, HclError, Item, as_json, parse
from reconciler.model.value import JSON, Semantic

SCALARS: Final = ("acl", "keyring", "mesh", "operator", "peering")
"""Rules that stand once: ``operator = "read"``."""

NAMED: Final = tuple(
    f"{kind}{suffix}" for kind in ("agent", "event", "identity", "key", "node", "query", "service", "session") for suffix in ("", "_prefix")
)
"""Rules by name or by prefix: ``service "web" { policy = "write" }``."""

ENTERPRISE: Final = ("namespace", "namespace_prefix", "partition", "partition_prefix", "sentinel")
_WITH_INTENTIONS: Final = ("service", "service_prefix", "identity", "identity_prefix")
_PRECEDENCE: Final = ("deny", "write", "list", "read")
_WITHOUT_POLICY: Final = ("has no policy, which Consul refuses", 'add policy = "read", "write" or "deny"')
_LOST: Final = "(not understood)"
UNREADABLE: Final = "text that cannot be read"
"""The only key of the normal form of a live text that is no HCL and no JSON to us."""


@dataclass(slots=True)
class Understood:
    """What a text or a mapping means, and what a manifest must not say: each fault is what is wrong and what to do."""

    rules: dict[str, Any] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def fault(self, item: Item | None, what: str, what_to_do: str) -> None:
        """Note a mistake, with its line in the text where there is one."""
        self.faults.append((f"line {item.line} of the text: {what}" if item and item.line else what, what_to_do))


@lru_cache(maxsize=16_384)
def understand(text: str) -> Understood:
    """The meaning of a text, HCL or JSON; shared, so not to be changed. Never raises: what cannot be read is a fault, and unlike anything else."""
    found = Understood()
    try:
        tree = parse(text)
        # in HCL, a list of blocks is an error to Consul
        lists = text.lstrip().startswith("{")
        for item in tree.items:
            _top(found, item, lists=lists)
    except (HclError, RecursionError) as error:
        why = str(error) if isinstance(error, HclError) else "line 1: is nested too deeply"
        return Understood({UNREADABLE: text}, [(f"are neither HCL nor JSON: {why}", "correct the text")])
    return found


def understand_mapping(rules: Mapping[str, Any]) -> Understood:
    """The meaning of rules that a manifest gives as a mapping: ``{service: {web: write, api: {policy: read, intentions: write}}}``.

    Names and access levels were checked when the manifest was read (:mod:`reconciler.manifest.acl_rules`).
    """
    found = Understood()
    for name, value in rules.items():
        if name in SCALARS:
            found.rules[name] = value
            continue
        for part in value if isinstance(value, list) else [value]:
            for segment, rule in part.items():
                body = {"policy": rule} if isinstance(rule, str) else dict(rule)
                if "policy" not in body:
                    found.fault(None, f"{name} {_quoted(segment)} {_WITHOUT_POLICY[0]}", _WITHOUT_POLICY[1])
                _merge(found, name, segment, body, None)
    return found


def semantic(text: str) -> Semantic:
    """A live text as a field's value: compared by meaning, shown in one canonical form."""
    return Semantic(normal=(rules := understand(text).rules), written=text, shown=canonical_text(rules))


def recorded(normal: JSON) -> Semantic:
    """Rules of which only the normal form is known, out of an ownership record."""
    text = canonical_text(normal)
    return Semantic(normal=normal, written=text, shown=text)


def canonical_text(rules: Mapping[str, Any]) -> str:
    """Rules in normal form as HCL, always the same for the same meaning."""
    if UNREADABLE in rules:
        return str(rules[UNREADABLE])
    blocks = [f"{name} = {_quoted(word)}\n" for name, word in sorted(rules.items()) if name in SCALARS]
    for name, each in sorted(rules.items()):
        if name in NAMED:
            blocks += [_block(name, segment, body) for segment, body in sorted(each.items())]
        elif name not in SCALARS:
            blocks.append(f"{_name(name)} = {json.dumps(each, ensure_ascii=False, sort_keys=True)}\n")
    return "\n".join(blocks)


def writable(rules: Mapping[str, Any], kind: str) -> tuple[list[str], list[str]]:
    """The names of services (or keys, nodes …) that rules grant writing, and the prefixes of such names."""
    exact, prefixes = ([name for name, body in rules.get(k, {}).items() if _writes(body)] for k in (kind, f"{kind}_prefix"))
    return exact, prefixes


def _writes(body: JSON) -> bool:
    return isinstance(body, Mapping) and body.get("policy") == "write"


def _top(found: Understood, item: Item, *, lists: bool) -> None:
    """One entry at the top of the rules. Consul folds the case of the names it knows."""
    name = item.keys[0].lower()
    if name in SCALARS:
        _scalar(found, name, item)
    elif name in NAMED:
        for segment, body in _bodies(found, name, item, lists=lists):
            _merge(found, name, segment, _rule(found, name, segment, body), item)
    else:
        found.rules[item.keys[0]] = as_json(Body((Item(item.keys[1:], item.value),)) if len(item.keys) > 1 else item.value)
        if name in ENTERPRISE:
            found.fault(item, f"{item.keys[0]} is a rule of Consul Enterprise", "remove it")
        else:
            found.fault(item, f"{item.keys[0]} is not an ACL rule, and Consul ignores it", _instead(name, (*SCALARS, *NAMED)))


def _scalar(found: Understood, name: str, item: Item) -> None:
    if len(item.keys) > 1 or isinstance(item.value, Body | list):
        found.fault(item, f"{name} stands alone, without names", f'write {name} = "read"')
        found.rules[" ".join((*item.keys, _LOST))] = as_json(item.value)
        return
    word = "" if item.value is None else str(item.value)
    if found.rules.get(name, word) != word:
        found.fault(item, f"{name} is set twice", "leave one of them out")
    if word:
        _check_word(found, item, name, word, ())
        found.rules[name] = word
    else:
        found.rules.pop(name, None)


def _bodies(found: Understood, name: str, item: Item, *, lists: bool) -> Iterable[tuple[str, Item]]:
    """The rules of one entry as (segment, entry whose value is the rule's body)."""
    match item.keys[1:], item.value:
        case (str(segment),), Body():
            yield segment, item
        case (), Body(items):
            for inner in items:
                yield from _inner(found, name, inner, lists=lists)
        case (), [*parts] if lists and all(isinstance(part, Body) for part in parts):
            for part in parts:
                yield from _bodies(found, name, Item(item.keys, part, item.line), lists=lists)
        case _:
            found.rules[" ".join((*item.keys, _LOST))] = as_json(item.value)
            found.fault(item, f"{name} has no name of what it is about", f'write {name} "NAME" {{ policy = "read" }}')


def _inner(found: Understood, name: str, inner: Item, *, lists: bool) -> Iterable[tuple[str, Item]]:
    parts = inner.value if lists and isinstance(inner.value, list) else [inner.value]
    for part in parts:
        if not isinstance(part, Body):
            # Consul takes `service { policy = "write" }` for a rule about the service called "policy"
            found.fault(inner, f"{name} has no name of what it is about", f'write {name} "NAME" {{ policy = "read" }}')
            part = Body((Item(inner.keys, part, inner.line),))  # noqa: PLW2901  what Consul makes of it
        yield inner.keys[0], Item(inner.keys, part, inner.line)


def _rule(found: Understood, name: str, segment: str, entry: Item) -> dict[str, Any]:
    body: dict[str, Any] = {}
    known = ("policy", "intentions") if name in _WITH_INTENTIONS else ("policy",)
    subject = f"{name} {_quoted(segment)}"
    for item in entry.value.items if isinstance(entry.value, Body) else ():
        key = item.keys[0].lower()
        if key not in known or len(item.keys) > 1 or isinstance(item.value, Body | list):
            found.fault(item, f"{subject} has {item.keys[0]}, which Consul ignores", _instead(key, known))
            body[item.keys[0]] = as_json(item.value)
            continue
        word = "" if item.value is None else str(item.value)
        if key in body:
            found.fault(item, f"{subject} has {key} twice", "leave one of them out")
        if key == "policy":
            _check_word(found, item, subject, word, ("list",) if name in ("key", "key_prefix") else ())
        else:
            _check_word(found, item, f"{subject} {key}", word, ())
        body[key] = word
    if not body.get("policy"):
        found.fault(entry, f"{subject} {_WITHOUT_POLICY[0]}", _WITHOUT_POLICY[1])
    return {key: word for key, word in body.items() if word != ""}


def _merge(found: Understood, name: str, segment: str, rule: dict[str, Any], item: Item | None) -> None:
    rules: dict[str, Any] = found.rules.setdefault(name, {})
    old = rules.setdefault(segment, rule)
    if old == rule:
        return
    found.fault(item, f"{name} {_quoted(segment)} stands twice, with different rights", "leave one of them out")
    if name in _WITH_INTENTIONS:
        rules[segment] = {**old, **rule, **{k: _stronger(old.get(k), rule.get(k)) for k in ("policy", "intentions") if k in old or k in rule}}
    else:
        rules[segment] = old if _stronger(old.get("policy"), rule.get("policy")) == old.get("policy") else rule


def _stronger(one: str | None, other: str | None) -> str | None:
    return next((word for word in _PRECEDENCE if word in (one, other)), one or other)


def _check_word(found: Understood, item: Item, subject: str, word: str, extra: tuple[str, ...]) -> None:
    words = ("read", "write", "deny", *extra)
    if word and word not in words:
        found.fault(item, f"{subject}: {_quoted(word)} is not an access level", _instead(word, words))


def _instead(name: str, known: Iterable[str]) -> str:
    names = list(known)
    guess = difflib.get_close_matches(name.lower(), names, 1, 0.6)
    return f"did you mean {guess[0]}?" if guess else f"write one of {', '.join(names)}"


def _block(name: str, segment: str, body: JSON) -> str:
    inside = "".join(f"  {_name(key)} = {_quoted(word) if isinstance(word, str) else json.dumps(word)}\n" for key, word in _policy_first(body))
    return f"{name} {_quoted(segment)} {{\n{inside}}}\n"


def _policy_first(body: JSON) -> list[tuple[str, JSON]]:
    return sorted(body.items(), key=lambda kv: (kv[0] != "policy", kv[0])) if isinstance(body, Mapping) else [("", body)]


def _name(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else _quoted(name)


_TO_ESCAPE: Final = re.compile('[\\\\"\x00-\x1f\x7f\ud800-\udfff\ue123]|\\$(?=\\{)')


def _quoted(text: str) -> str:
    """A string of HCL 1 that means ``text``."""
    return '"' + _TO_ESCAPE.sub(_escaped, text) + '"'


def _escaped(match: re.Match[str]) -> str:
    character, code = match[0], ord(match[0])
    if character in '\\"':
        return "\\" + character
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no character
        return f"\\x{code - 0xDC00:02x}"
    # `${` would begin an interpolation, which cannot be escaped but by its code
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"

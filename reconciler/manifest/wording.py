"""Mistakes in words: what pydantic found, and what was noted while composing, as diagnostics with a place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.manifest.mistake import Mistake, Mistakes, PathPart, printable, shown
from reconciler.manifest.model_lookup import is_duration, known_keys, purpose
from reconciler.manifest.secret_fields import NOT_TEXT
from reconciler.manifest.section import OPTIONS
from reconciler.manifest.sensitive import is_sensitive_key, is_sensitive_name
from reconciler.manifest.subjects import dotted, subject
from reconciler.manifest.suggestion import folded, instead, unknown
from reconciler.manifest.tree import Node, TreePath, every, follow, place, spot_of, walk
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.resource import Place

_KEY: Final = "[key]"
"""How pydantic marks that a mistake is about a key of a mapping."""

_FROM_LABEL: Final = frozenset({"name", "id", "service", "host", "server"})


def diagnostic(root: Node, path: TreePath, what: str, what_to_do: str, where: Place | None = None) -> Diagnostic:
    """A diagnostic about the value at ``path``; ``what`` begins with a verb, the field's name is put before it."""
    about, rest = subject(root, follow(root, path)[0])
    what = f"{dotted(rest)} {what}" if rest else what
    return Diagnostic(where or place(spot_of(root, path)), printable(about), printable(what), printable(what_to_do))


def troubles(root: Node) -> Iterator[Diagnostic]:
    """What was noted in the nodes of one file's tree."""
    if not any(node.troubles for node in every(root)):
        return
    for path, node in walk(root):
        for trouble in node.troubles or ():
            at = path if trouble.key is None else (*path, trouble.key)
            remedy = trouble.masked if trouble.masked and may_be_secret(root, at) else trouble.what_to_do
            yield diagnostic(root, at, trouble.what, remedy, place(trouble.spot))


def may_be_secret(root: Node, path: TreePath) -> bool:
    """Whether what stands at ``path`` must not be shown in a message."""
    if path[:1] == ("kv",) and len(path) > 1:
        sensitive = root.at(*path[:2], "sensitive")
        return sensitive.value is not False if sensitive is not None else is_sensitive_key(str(path[1]))
    if path[:1] == ("config_entries",):
        return any(folded(str(part)) == "jwks" or is_sensitive_name(str(part)) for part in path[1:])
    return any(part in ("password", "sslpassword", "token") for part in path[1:])


def errors(root: Node, error: ValidationError) -> Iterator[tuple[TreePath, Diagnostic | None]]:
    """Each mistake that the models found: where, and in words; None for what is in trouble already for how it is written."""
    for details in error.errors(include_url=False):
        for loc, mistake in _flattened(details):
            about_key = bool(loc) and loc[-1] == _KEY and root.at(*loc) is None
            wrong = _Wrong.of(root, loc[:-1] if about_key else loc, details)
            yield wrong.path, None if wrong.in_trouble else wrong.diagnostic(mistake or _translated(wrong), about_key=about_key)


def _flattened(details: ErrorDetails) -> Iterator[tuple[tuple[PathPart, ...], Mistake | None]]:
    """The mistakes in one of pydantic's errors, with their paths; None for one of pydantic's own."""
    cause = details.get("ctx", {}).get("error")
    each = cause.each if isinstance(cause, Mistakes) else (cause,) if isinstance(cause, Mistake) else (None,)
    for mistake in each:
        yield (*details["loc"], *(mistake.path if mistake else ())), mistake


@dataclass(frozen=True, slots=True)
class _Wrong:
    """One wrong value. ``path`` leads to it or to what is nearest around it, ``beyond`` is what of pydantic's path is not in the manifest."""

    root: Node
    path: TreePath
    node: Node
    loc: tuple[PathPart, ...]
    beyond: tuple[PathPart, ...]
    details: ErrorDetails

    @classmethod
    def of(cls, root: Node, loc: tuple[PathPart, ...], details: ErrorDetails) -> _Wrong:
        path, node = follow(root, loc)
        rest = list(path)
        beyond = tuple(part for part in loc if not (rest and rest[0] == part and rest.pop(0) is not None))
        return cls(root, path, node, loc, beyond, details)

    @property
    def in_trouble(self) -> bool:
        """Whether the way it is written was reported already, and this may only follow from that."""
        nodes = [self.root.at(*self.path[:length]) for length in range(len(self.path) + 1)]
        own = [t for t in self.node.troubles or () if t.key is None]
        return bool(own) or any(node is not None and node.troubles and not isinstance(node.value, dict) for node in nodes)

    @property
    def found(self) -> str:
        """What stands there instead: ``the number 5432``, ``a mapping``."""
        value = self.node.value
        if isinstance(value, dict | list):
            return "a mapping" if isinstance(value, dict) else "a list"
        if may_be_secret(self.root, self.path):
            return {bool: "true or false", int: "a number", float: "a number"}.get(type(value), "a string")
        kind = {bool: "the boolean", int: "the number", float: "the number"}.get(type(value), "the string")
        return f"{kind} {self.node.written or shown(str(value))}"

    def assigned(self, value: str) -> str:
        """``write port: 5432``, or only the value where it has no key."""
        last = self.path[-1] if self.path else ""
        return f"write {last}: {value}" if isinstance(last, str) and last else f"write {value}"

    def diagnostic(self, mistake: Mistake, *, about_key: bool) -> Diagnostic:
        """The mistake, in its place."""
        from_label = bool(self.beyond) and self.beyond[-1] in _FROM_LABEL
        parent = self.root.at(*self.path[:-1]) if self.path else None
        key = self.path[-1] if self.path else None
        if (about_key or from_label or mistake.at_key) and parent is not None and parent.keys is not None and key in parent.keys:
            return diagnostic(self.root, self.path, mistake.what, mistake.what_to_do, place(parent.keys[str(key)]))
        return diagnostic(self.root, self.path, mistake.what, mistake.what_to_do)


def _translated(wrong: _Wrong) -> Mistake:
    if wrong.path[:1] == ("intentions",) and wrong.path[2:] and wrong.path[2] in OPTIONS:
        return Mistake("is not a source", f"write the long form: {{sources: {{…}}, {wrong.path[2]}: …}}")
    translate = _WORDS.get(wrong.details["type"])
    return translate(wrong) if translate else Mistake(f"is wrong ({wrong.details['msg']})", "see schemas/manifest.schema.json")


def _missing(wrong: _Wrong) -> Mistake:
    key = str(wrong.beyond[-1]) if wrong.beyond else ""
    if not wrong.path and key == "version":
        return Mistake("lacks version", "write version: 1")
    if not wrong.path and key == "name":
        return Mistake("lacks name", "write name: NAME; it will own all that this manifest creates")
    present = wrong.node.value if isinstance(wrong.node.value, dict) else {}
    other = next((k for k in present if folded(k) == folded(key)), "")
    return Mistake(f"lacks {key}", f"write {key} instead of {other}" if other else f"add it ({purpose(wrong.loc[:-1], key)})")


def _extra(wrong: _Wrong) -> Mistake:
    return unknown(str(wrong.loc[-1]), known_keys(wrong.loc[:-1]))


def _string(wrong: _Wrong) -> Mistake:
    if isinstance(wrong.node.value, dict | list):
        return Mistake(f"must be a string, not {wrong.found}", wrong.assigned('"…"'))
    written = (wrong.node.written or "").replace("0o", "0")  # a file mode as other programs write it
    if is_duration(wrong.loc):
        written = f"{written}s" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", written) else "10s"
    remedy = "put it in quotes" if may_be_secret(wrong.root, wrong.path) else wrong.assigned(f'"{written}"')
    return Mistake(f"must be a string, not {wrong.found}", remedy)


def _secret(wrong: _Wrong) -> Mistake:
    return Mistake(f"must be a string or a reference, not {wrong.found}", "put it in quotes, or write a reference such as {env: NAME}")


def _boolean(wrong: _Wrong) -> Mistake:
    value = str(wrong.node.value).lower()
    meant = "true" if value in ("true", "yes", "on", "1") else "false" if value in ("false", "no", "off", "0") else "true or false"
    return Mistake(f"must be true or false, not {wrong.found}", wrong.assigned(meant))


def _integer(wrong: _Wrong) -> Mistake:
    value = wrong.node.value
    digits = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) is not None
    return Mistake(f"must be a whole number, not {wrong.found}", wrong.assigned(str(int(value))) if digits else "write it in digits, without quotes")


def _choice(wrong: _Wrong) -> Mistake:
    if wrong.loc == ("version",):
        return Mistake(f"is {wrong.node.written or shown(str(wrong.node.value))}, but this program reads version 1", "write version: 1")
    choices = re.findall(r"'([^']*)'", str(wrong.details.get("ctx", {}).get("expected", "")))
    value = wrong.node.value
    if isinstance(value, str):
        return Mistake(f"is {shown(value)}, which is unknown", instead(value, choices))
    return Mistake(f"must be a word, not {wrong.found}", f"write one of {', '.join(choices)}")


def _mapping(wrong: _Wrong) -> Mistake:
    if wrong.path[:1] == ("intentions",) and "sources" in wrong.loc and wrong.loc[-2:-1] == ("sources",):
        return Mistake(f"must be a word or a mapping, not {wrong.found}", "write allow, deny or {permissions: […]}")
    return Mistake(f"must be a mapping, not {wrong.found}", wrong.assigned("{KEY: …}") if wrong.node.value != [] else wrong.assigned("{}"))


def _list(wrong: _Wrong) -> Mistake:
    item = shown(wrong.node.value) if isinstance(wrong.node.value, str) and not may_be_secret(wrong.root, wrong.path) else "…"
    return Mistake(f"must be a list, not {wrong.found}", wrong.assigned(f"[{item}]"))


_WORDS: Final[dict[str, Callable[[_Wrong], Mistake]]] = {
    "missing": _missing,
    "extra_forbidden": _extra,
    "string_type": _string,
    NOT_TEXT: _secret,
    "bool_type": _boolean,
    "int_type": _integer,
    "enum": _choice,
    "literal_error": _choice,
    "dict_type": _mapping,
    "model_type": _mapping,
    "list_type": _list,
}

"""What differs between a specification, what was last applied, and what is live: a three-way comparison, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.model.change import FieldChange
from reconciler.model.field_rules import FieldRules
from reconciler.model.record import Record
from reconciler.model.resource import Live
from reconciler.model.secret import Generate, Hidden, Pending, Secret, Verifies
from reconciler.model.value import (
    ABSENT,
    LONG_TEXT_BYTES,
    WITHHELD,
    Digest,
    Path,
    Semantic,
    Value,
    canonical,
    is_secret,
    leaves,
    look_up,
    put,
    replaced,
)

Fields = Mapping[str, Value]

_VEIL: Final = "\0secret "
"""No text of a manifest, nor of Consul's JSON that a manifest could mean, has a NUL in it."""


@dataclass(frozen=True, slots=True)
class Differences:
    """The fields that differ, and those that could not be compared, with why."""

    fields: tuple[FieldChange, ...] = ()
    unreadable: tuple[tuple[Path, str], ...] = ()


def compare(desired: Fields, record: Record | None, live: Live, rules: FieldRules) -> Differences:
    """The differences that an update would remove.

    A field that ``desired`` does not set is not compared, unless the last apply had set it: then it differs while live still has a value.
    ``desired`` holds no references any more: they were settled.
    """
    applied = record.specification if record else {}
    rewritten = record is not None and _is_rewritten(record, live)
    changes: list[FieldChange] = []
    unreadable: list[tuple[Path, str]] = []
    wanted = dict(leaves(desired, rules.whole))
    for path, want in wanted.items():
        if rules.ignores(path):
            continue  # a secret too, of which nothing live tells
        have = look_up(live.fields, path)
        verdict = _same(path, want, have, rules)
        if isinstance(verdict, Hidden):
            unreadable.append((path, verdict.why))
        elif not verdict:
            changes.append(_change(path, have, want, look_up(applied, path), rules, rewritten=rewritten, recorded=record is not None))
    for path, last in leaves(applied, rules.whole):
        if path[0] in rules.keeps or rules.ignores(path) or any(path[: len(p)] == p or p[: len(path)] == path for p in wanted):
            continue
        have = look_up(live.fields, path)
        if isinstance(have, Hidden):
            unreadable.append((path, have.why))
        elif not _is_unset(path, have, rules):
            drifted = rewritten if last is WITHHELD else not recorded_same(path, last, have, rules)
            changes.append(FieldChange(path, have, ABSENT, drifted=drifted, manifest=True))
    return Differences(tuple(sorted(changes, key=lambda c: c.path)), tuple(unreadable))


def drifted_fields(record: Record, live: Live, rules: FieldRules) -> tuple[FieldChange, ...]:
    """What somebody else changed since the last apply: live against the record alone, so no secret needs to be known."""
    changes: list[FieldChange] = []
    rewritten = _is_rewritten(record, live)
    for path, last in leaves(record.specification, rules.whole):
        have = look_up(live.fields, path)
        if rules.ignores(path):
            continue
        if last is WITHHELD:
            if have is ABSENT or (rewritten and not isinstance(have, Hidden)):
                changes.append(FieldChange(path, have, WITHHELD, drifted=True))
        elif not isinstance(have, Hidden) and not recorded_same(path, last, have, rules):
            changes.append(FieldChange(path, have, last, drifted=True, parts=parts_of(path, have, last)))
    return tuple(sorted(changes, key=lambda c: c.path))


def secret_rewritten(record: Record, live: Live, rules: FieldRules) -> bool:
    """Whether a secret was written since the record noted its witness, perhaps with the same value: only a new record ends that drift."""
    secrets = (path for path, last in leaves(record.specification, rules.whole) if last is WITHHELD)
    return _is_rewritten(record, live) and any(not isinstance(look_up(live.fields, path), Hidden) for path in secrets)


def _is_rewritten(record: Record, live: Live) -> bool:
    """Whether a secret was rewritten since our last write; not, where the record was written by one who could not see what tells it."""
    return record.witness is not None and record.witness != live.witness


def matches_claim(record: Record, live: Live, rules: FieldRules) -> bool:
    """Whether live is what a claim said would be created. Secrets are not part of a claim."""
    younger = live.created_index is None or live.created_index > record.modify_index
    told = ((path, last) for path, last in leaves(record.specification, rules.whole) if last is not WITHHELD)
    return younger and all(recorded_same(path, last, look_up(live.fields, path), rules) for path, last in told)


def recordable(fields: Fields) -> dict[str, Value]:
    """What of a specification goes into its record: secrets withheld, long texts as digests, of a generated value only how it was generated."""
    return {key: _recordable(value) for key, value in fields.items()}


def _recordable(value: Value) -> Value:
    if isinstance(value, Mapping):
        return recordable(value)
    if isinstance(value, list):
        return [_recordable(item) for item in value]
    if isinstance(value, str | Semantic) and len(canonical(value).encode("utf-8", "surrogateescape")) > LONG_TEXT_BYTES:
        return Digest.of(canonical(value))
    return WITHHELD if is_secret(value) and not isinstance(value, Generate) else value


def recorded_same(path: Path, last: Value, have: Value, rules: FieldRules) -> bool:
    """Whether a live value is the recorded one."""
    if isinstance(last, Generate):
        return have is not ABSENT
    if isinstance(have, Secret) and isinstance(last, str | Digest):
        have = have.reveal()  # no secret by the manifest, and not for everybody to read where it is
    if is_secret(have):
        return False
    return rules.same(path, last, _recordable(have))


def merged(desired: Fields, changes: tuple[FieldChange, ...], live: Live, rules: FieldRules) -> dict[str, Value]:
    """What the resource shall be: live, with what the manifest sets put in and what it no longer sets taken out.

    A generated value that is there stays, and what cannot be known is not written.
    """
    result = dict(live.fields)
    for path, want in leaves(desired, rules.whole):
        if not isinstance(want, Hidden | Generate):
            result = put(result, path, want)
    for change in changes:
        if change.after is ABSENT:
            result = put(result, change.path, rules.default(change.path))
    return result


def _same(path: Path, want: Value, have: Value, rules: FieldRules) -> bool | Hidden:
    if isinstance(want, Hidden):
        return want
    if isinstance(want, Generate):
        return have is not ABSENT
    if isinstance(want, Pending):
        return False
    if isinstance(want, Secret):
        if isinstance(have, Hidden):
            return have
        return isinstance(have, Verifies) and have.matches(want)
    if isinstance(have, Secret) and isinstance(want, str):
        return have.matches(Secret(want))
    if is_secret(have):
        return have if isinstance(have, Hidden) else False
    return rules.same(path, want, have)


def _is_unset(path: Path, have: Value, rules: FieldRules) -> bool:
    return have is ABSENT if is_secret(have) or have is ABSENT else rules.same(path, ABSENT, have)


def _change(path: Path, have: Value, want: Value, last: Value, rules: FieldRules, *, rewritten: bool, recorded: bool) -> FieldChange:
    if is_secret(want):
        # A secret tells nothing of what it was: it drifted when the live thing was rewritten since, else the manifest's changed (docs/design.md §5).
        return FieldChange(path, have, want, drifted=recorded and rewritten, manifest=recorded and not rewritten)
    drifted = rewritten if last is WITHHELD else recorded and last is not ABSENT and not recorded_same(path, last, have, rules)
    manifest = recorded and (last is ABSENT or isinstance(last, Generate) or not recorded_same(path, last, want, rules))
    if recorded and not (drifted or manifest):
        # a secret inside it differs, of which the record holds nothing
        drifted, manifest = rewritten, not rewritten
    return FieldChange(path, have, want, drifted=drifted, manifest=manifest, parts=parts_of(path, have, want))


def parts_of(path: Path, before: Value, after: Value) -> tuple[FieldChange, ...]:
    """The differences inside two lists or two mappings, each with its full path; empty for anything else."""
    if not (isinstance(before, dict) and isinstance(after, dict)) and not (isinstance(before, list) and isinstance(after, list)):
        return ()
    return tuple(sorted(_deep(path, before, after), key=lambda c: c.path))


def _deep(path: Path, before: Value, after: Value) -> Iterator[FieldChange]:
    from deepdiff.diff import DeepDiff  # imported late: it takes 0.1 s, and a plan with nothing to do needs none of it

    veil = _Veil()
    difference: Any = DeepDiff(replaced(before, Secret, veil.over), replaced(after, Secret, veil.over), view="tree", verbose_level=2)
    for kind, items in difference.items():
        for item in items:
            inner = tuple(str(step) for step in item.path(output_format="list"))
            old = ABSENT if kind.endswith("_added") else replaced(item.t1, str, veil.lifted)
            new = ABSENT if kind.endswith("_removed") else replaced(item.t2, str, veil.lifted)
            yield FieldChange((*path, *inner), old, new)


class _Veil:
    """Numbers for secrets while DeepDiff compares: it looks into whatever it is given. Equal secrets have one number."""

    def __init__(self) -> None:
        self._secrets: list[Secret] = []

    def over(self, secret: Secret) -> str:
        """What stands for a secret."""
        number = next((n for n, known in enumerate(self._secrets) if known.matches(secret)), len(self._secrets))
        if number == len(self._secrets):
            self._secrets.append(secret)
        return f"{_VEIL}{number}"

    def lifted(self, text: str) -> Value:
        """The secret that ``text`` stands for, or the text itself."""
        return self._secrets[int(text.removeprefix(_VEIL))] if text.startswith(_VEIL) else text

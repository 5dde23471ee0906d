"""Reports as Markdown, rendered by GitHub's own renderer: whatever others wrote stays where it was put."""

import re
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.change import Action, FieldChange, Reason, Refusal
from reconciler.model.outcome import ChangeOutcome, NotConverged, Outcome, Status
from reconciler.model.resource import Dependant, Live
from reconciler.model.value import ABSENT
from reconciler.report.characters import visible
from reconciler.report.markdown import LIMIT, plan_markdown
from reconciler.report.markup import LONGEST_CELL, LONGEST_LINE, code
from tests.unit.report.samples import TYPICAL, address, change, desired, plan, update

HOSTILE = [
    "a|b",
    "a\\|b",
    "a\\",
    "`x`",
    "``` \n```",
    "~~~",
    "</code></details><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "--> <h1>x</h1>",
    "@everyone",
    "`|@everyone",
    "#1 !2 $x$",
    "[x](javascript:alert(1))",
    "![x](y)",
    "**bold** _it_ ~~gone~~",
    "\n\n# heading\n\n- item\n",
    "\r\n| a | b |\r\n| - | - |",
    "&lt;&#124;&amp;",
    "https://evil.example.com www.evil.example.com",
    "\u202egnp.exe\u200b",
    "",
    " ",
    "x" * 900,
    "`" * 700,
    "   ```",
    "\x1b[31m- old\x1b[0m",
]


class Outline(HTMLParser):
    """What a reader sees: the elements in their order, and the text of each place that holds what others wrote."""

    def __init__(self, markdown):
        super().__init__()
        self.elements: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(cmarkgfm.github_flavored_markdown_to_html(markdown, options=Options.CMARK_OPT_UNSAFE))
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self._open.append(tag)
        assert not attributes or attributes[0][0] in ("lang", "class"), attributes
        if tag == "code":
            self.texts.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "code" in self._open:
            self.texts[-1] += data
        else:
            assert not set(data) & set("@#`|<"), f"{data!r} is outside of code"


def hostile_plan(text, value="value"):
    live = Live(address("database/x"), {}, dependants=(Dependant(text),))
    return plan(
        change(f"kv/0{text}", Action.CREATE, Reason.NEW, desired=desired("kv/x", {text: value, "value": text}), warning=f"w{text}"),
        change("database/x", Action.DELETE, Reason.REMOVED, live=live),
        update(FieldChange((text,), text, f"{text}2"), FieldChange(("rules",), f"{text}\nb", f"{text}\nc")),
        refusals=(Refusal("conflict", address(f"kv/{text}"), text, text, (FieldChange(("value",), text, "x"),)),),
        warnings=(text,),
        unreadable=((address(f"kv/{text}"), (text,), text),),
    )


def outcome_of(made, text):
    statuses = (Status.APPLIED, Status.FAILED, Status.NOT_ATTEMPTED)
    results = tuple(ChangeOutcome(c, status, f"y{text}") for c, status in zip(made.changes, statuses, strict=True))
    return Outcome(results, (NotConverged(made.changes[0], (FieldChange(("value",), text, "x"),)),), stopped=f"s{text}")


def reports(made, text):
    yield plan_markdown(made, "plan")
    yield plan_markdown(made, "drift")
    yield plan_markdown(made, "apply", outcome_of(made, text))


@pytest.mark.parametrize("text", HOSTILE, ids=lambda t: repr(t[:20]))
def test_what_others_wrote_cannot_break_out(text):
    for report, harmless in zip(reports(hostile_plan(text), text), reports(hostile_plan("x"), "x"), strict=True):
        elements = Outline(report).elements
        linked = [e for e in elements if e != "a"]  # an address that is a link to itself, within code, harms nobody
        assert linked == Outline(harmless).elements
        assert "\x1b" not in report


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from("|`\\<>&@#[]()*_~-+!:/. \n\r\t'\"axw\u202e"), max_size=30))
def test_no_combination_of_characters_breaks_out(text):
    for report, harmless in zip(reports(hostile_plan(text), text), reports(hostile_plan("x"), "x"), strict=True):
        assert [e for e in Outline(report).elements if e != "a"] == Outline(harmless).elements


@pytest.mark.parametrize("text", HOSTILE, ids=lambda t: repr(t[:20]))
def test_code_reads_as_what_it_is(text):
    (read,) = Outline(f"| a |\n| - |\n| {code(text)} |\n").texts
    shown = visible(text)
    assert read == (shown if len(shown) <= LONGEST_CELL else f"{shown[:LONGEST_CELL]}… ({len(shown) - LONGEST_CELL} more characters)")


def test_the_summary_is_first_then_the_table_then_the_details():
    lines = plan_markdown(TYPICAL).split("\n")
    assert lines[:6] == [
        "<!-- reconciler plan mesh -->",
        "### reconciler plan: `mesh`",
        "",
        "**Plan: 1 to add, 2 to change, 1 to replace, 3 to delete, 1 to adopt, 1 to forget.**",
        "",
        "| | resource | why |",
    ]
    rows = [line for line in lines if line.startswith("| `")]
    assert rows[0] == "| `-/+` replace | `acl-token/app` | manifest changed |"
    assert rows[1] == "| `-` delete | `database/files` | no longer in the manifest; **lost with it: `12 tables, 3.4 MB`** |"
    assert [row.split("`")[1] for row in rows] == ["-/+", "-", "-", "-", "~", "»", "+", "×", "~"]
    assert lines[-2:] == ["</details>", ""]
    details = lines[lines.index("<details><summary>Details</summary>") :]
    assert '-         policy = "read"' in details  # the sign first, where it is coloured
    assert '+         policy = "write"' in details


def test_signs_of_values_are_not_taken_for_those_of_a_difference():
    made = plan(change("kv/x", Action.CREATE, Reason.NEW, desired=desired("kv/x", {"value": "- a\n+ b"})))
    details = plan_markdown(made).partition("```diff\n")[2].partition("```")[0]
    assert [line for line in details.split("\n") if line[:1] in ("+", "-")] == ["+ kv/x (new in the manifest)"]


def test_nothing_to_do_is_short():
    assert plan_markdown(plan()) == "<!-- reconciler plan mesh -->\n### reconciler plan: `mesh`\n\n**No changes. Live state matches the manifest.**\n"


def test_what_destroy_would_do_is_said_of_destroy():
    assert "**No changes. There is nothing to destroy.**" in plan_markdown(plan(), destroy=True)


def test_drift_is_told_the_way_the_text_tells_it():
    made = plan(update(FieldChange(("value",), "live", "applied"), reasons=(Reason.DRIFTED,)))
    report = plan_markdown(made, "drift")
    assert "**Drift: 1 resource differs from what was last applied.**" in report
    assert "| `~` | `kv/app/name` | changed by somebody else |" in report
    assert "    value: applied → live" in report


def test_what_failed_stands_above_what_was_applied():
    changes = TYPICAL.changes[:4]
    why = ("", "boom | <b>", "kv/x was not applied", "its check is critical\nno route to host")
    results = tuple(ChangeOutcome(c, s, w, 0.25) for c, s, w in zip(changes, Status, why, strict=True))
    report = plan_markdown(TYPICAL, "apply", Outcome(results))
    rows = [line for line in report.split("\n") if line.startswith("| `")]
    assert [re.sub(r"<.*>", "…", row.split(" | ", 2)[2]) for row in rows] == [
        "**failed**: … |",
        "**not ready**: `its check is critical` |",
        "**not attempted**: `kv/x was not applied` |",
        "applied in 0.2 s |",
    ]
    assert "**Apply incomplete: " in report.split("\n")[3]
    assert f"```text\n{changes[3].address}: its check is critical\nno route to host\n```" in report


@pytest.mark.parametrize("number", [300, 3000])
@pytest.mark.parametrize("text", ["x" * 150, "|" * 200, "é€😀" * 50, "`" * 1500], ids=["short", "pipes", "not ASCII", "backticks"])
def test_a_report_fits_into_a_comment_and_says_what_was_cut(number, text):
    harmless = [change(f"kv/{n}/{text}", Action.CREATE, Reason.NEW, desired=desired("kv/x", {"value": text})) for n in range(number)]
    report = plan_markdown(plan(*harmless, change("kv/z", Action.DELETE, Reason.REMOVED), refusals=tuple(
        Refusal("conflict", address(f"kv/{text}"), "exists", "adopt it") for _ in range(number)
    )))  # fmt: skip
    assert len(report) <= len(report.encode()) < 65_536
    assert Outline(report).elements.count("details") == 1
    assert "**This report was cut to the size of a comment: " in report
    assert "lines are left out." in report
    assert next(line for line in report.split("\n") if line.startswith("| `")) == "| `-` delete | `kv/z` | no longer in the manifest |"
    listed = number + 1 - int((re.search(r"(\d+) of \d+ resources are not listed", report) or ["", "0"])[1])
    assert listed == report.count("\n| `") + report.count("\n| <code>")


def test_a_long_value_is_cut_and_says_so():
    report = plan_markdown(plan(update(FieldChange(("value",), ABSENT, "y" * 500_000))))
    assert len(report) < LIMIT
    assert re.search(rf"y{{1000,{LONGEST_LINE}}}… \(\d+ more characters\)", report)

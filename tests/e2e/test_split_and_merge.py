"""docs/how-to-split-and-merge.md does what it says: its files are written and its commands run, in order, on real servers."""

import re
import shlex

import pytest

from tests.unit.pages import FENCE, ROOT, text_of

PAGE = ROOT / "docs" / "how-to-split-and-merge.md"


def steps():
    """The files and commands of the page, in order: a name and a text, or arguments and what the command shall write."""
    for language, text in FENCE.findall(text_of(PAGE)):
        if language == "yaml":
            yield text.partition("\n")[0].removeprefix("# "), text
        else:
            for call in re.split(r"^\$ reconciler ", text, flags=re.MULTILINE)[1:]:
                typed, _, output = call.partition("\n")
                yield tuple(shlex.split(typed)), output


def resources(live):
    """Everything but the records."""
    found = dict(live())
    return found | {"kv": [pair for pair in found["kv"] or () if not pair["Key"].startswith("reconciler/")]}


def test_the_page_does_what_it_says(reconciler, tmp_path, live):
    ran, before = [], None
    for what, text in steps():
        if isinstance(what, str):
            (tmp_path / what).write_text(text, "utf-8")
            continue
        run = reconciler(*what, expect=0)
        expected = re.escape(text).replace(re.escape("…\n"), "(?s:.*)")
        assert re.fullmatch(expected, run.out), f"{run}\n--- the page says\n{text}"
        ran.append(what[0])
        if before is None:
            before = resources(live)  # after the first apply
        assert resources(live) == before, f"{what} has changed something"
    assert ran.count("plan") == 4
    assert ran.count("owned") == 4


@pytest.mark.parametrize("order", ["the old entry is taken out first", "the new manifest is applied first", "the old manifest is applied last"])
def test_other_orders_are_refused_or_at_least_delete_nothing_that_is_not_asked_about(reconciler, write, consul, order):
    both = write("kv: {files/name: files, mail/name: mail}\n", name="both", file="both.yaml")
    reconciler("apply", "--auto-approve", both, expect=0)
    mail = write("kv: {mail/name: mail}\n", name="mail", file="mail.yaml")
    if order == "the old entry is taken out first":
        write("kv: {files/name: files}\n", name="both", file="both.yaml")
        assert reconciler("plan", both, expect=0).out.startswith("- kv/mail/name (no longer in the manifest)\n")
    elif order == "the new manifest is applied first":
        refused = reconciler("apply", "--auto-approve", mail, expect=5).out
        [typed] = re.findall(r"or move it here: reconciler (.*)\n", refused)
        assert reconciler(*shlex.split(typed), expect=0).out == "kv/mail/name belongs to mail now.\n"
        assert reconciler("plan", "--detailed-exitcode", mail, expect=0).last == "No changes. Live state matches the manifest."
    else:
        reconciler("owned", "transfer", "kv/mail/*", "--from", "both", mail, expect=0)
        assert "belongs to the manifest 'mail'" in reconciler("apply", "--auto-approve", both, expect=5).out
    assert consul.keys("mail/") == {"mail/name": b"mail"}

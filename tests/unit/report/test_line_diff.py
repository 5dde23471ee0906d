from hypothesis import given
from hypothesis import strategies as st

from reconciler.report.line_diff import lines_of, text_difference
from reconciler.report.paint import PLAIN


def block(head, policy):
    return f'{head} {{\n  policy = "{policy}"\n}}\n'


def test_a_block_that_changed_and_one_that_was_added_are_told_apart():
    before = block('key_prefix "a/"', "read")
    after = block('key_prefix "a/"', "write") + "\n" + block('service "x"', "read")
    assert text_difference(before, after, PLAIN) == [
        '  key_prefix "a/" {',
        '-   policy = "read"',
        '+   policy = "write"',
        "  }",
        "+",
        '+ service "x" {',
        '+   policy = "read"',
        "+ }",
    ]


def test_a_block_in_the_middle_that_went():
    blocks = [block(f'service "{name}"', "read") for name in "abc"]
    shown = text_difference("\n".join(blocks), "\n".join([blocks[0], blocks[2]]), PLAIN)
    assert [line for line in shown if line.startswith("-")] == ['- service "b" {', '-   policy = "read"', "- }", "-"]


def test_hunks_far_apart_have_positions():
    before = [f"line {n}" for n in range(60)]
    after = ["first", *before[1:59], "last"]
    shown = text_difference("\n".join(before), "\n".join(after), PLAIN)
    assert [line for line in shown if line.startswith("@@")] == ["@@ -1,4 +1,4 @@", "@@ -57,4 +57,4 @@"]


lines = st.lists(st.sampled_from(["", "a {", "b {", "  x", "  y", "}"]), max_size=12)


@given(lines, lines)
def test_the_diff_leads_from_the_one_text_to_the_other(one, other):
    """Short texts are shown whole, so both can be read off the diff."""
    before, after = "".join(f"{line}\n" for line in one), "".join(f"{line}\n" for line in other)
    shown = text_difference(before, after, PLAIN)
    if one == other:
        assert shown == []
    else:
        assert [line[2:] for line in shown if not line.startswith("+")] == lines_of(before)
        assert [line[2:] for line in shown if not line.startswith("-")] == lines_of(after)

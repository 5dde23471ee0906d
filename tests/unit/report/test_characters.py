import pytest

from reconciler.report.characters import encodable, visible, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Größe 日本", "Größe 日本"),
        ("a\tb\r\n", "a\\tb\\r\\n"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\u200b\ufeff\u00a0", "\\u200b\\ufeff\\xa0"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_does_not_show_as_itself_is_escaped(text, shown):
    assert visible(text) == shown


def test_a_message_keeps_its_lines():
    assert visible_lines("a\x07\nb") == "a\\x07\nb"


def test_symbols_have_a_form_in_ascii():
    assert encodable("» a → b × …", "ascii") == ">> a -> b x ..."


def test_other_characters_are_escaped_where_the_encoding_has_none():
    assert encodable("é→日", "latin-1") == "é->\\u65e5"


@pytest.mark.parametrize("encoding", [None, "no-such-encoding"])
def test_an_unknown_encoding_is_taken_for_ascii(encoding):
    assert encodable("→é", encoding) == "->\\xe9"


def test_utf_8_takes_everything_as_it_is():
    assert encodable("» 日", "utf-8") == "» 日"

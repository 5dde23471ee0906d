"""Encodings and locales in normal form: Postgres takes many spellings of one encoding, and keeps a locale's as typed (docs/facts.md: Postgres 4)."""

from __future__ import annotations

import re
from typing import Final

# What pg_encoding_to_char gives (src/common/encnames.c).
_ENCODINGS: Final = (
    "SQL_ASCII", "EUC_JP", "EUC_CN", "EUC_KR", "EUC_TW", "EUC_JIS_2004", "UTF8", "MULE_INTERNAL", "LATIN1", "LATIN2", "LATIN3", "LATIN4",
    "LATIN5", "LATIN6", "LATIN7", "LATIN8", "LATIN9", "LATIN10", "WIN1256", "WIN1258", "WIN866", "WIN874", "KOI8R", "WIN1251", "WIN1252",
    "ISO_8859_5", "ISO_8859_6", "ISO_8859_7", "ISO_8859_8", "WIN1250", "WIN1253", "WIN1254", "WIN1255", "WIN1257", "KOI8U",
)  # fmt: skip
_ALIASES: Final = {
    "unicode": "UTF8", "abc": "WIN1258", "alt": "WIN866", "koi8": "KOI8R", "tcvn": "WIN1258", "tcvn5712": "WIN1258", "vscii": "WIN1258",
    "win": "WIN1251", "iso88591": "LATIN1", "iso88592": "LATIN2", "iso88593": "LATIN3", "iso88594": "LATIN4", "iso88599": "LATIN5",
    "iso885910": "LATIN6", "iso885913": "LATIN7", "iso885914": "LATIN8", "iso885915": "LATIN9", "iso885916": "LATIN10",
}  # fmt: skip


def _clean(name: str) -> str:
    """An encoding's name as Postgres looks it up: letters and digits alone, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BY_CLEAN_NAME: Final = {_clean(name): name for name in _ENCODINGS} | _ALIASES


def normal_encoding(name: str) -> str:
    """The name that Postgres shows for an encoding: ``UTF8`` for ``utf-8``. An unknown one is left for the server to refuse."""
    clean = _clean(name)
    return _BY_CLEAN_NAME.get(clean) or _BY_CLEAN_NAME.get(clean.replace("windows", "win")) or name


def normal_locale(name: str) -> str:
    """A locale's name with the usual spelling of UTF-8: ``C.UTF-8`` for ``C.utf8``, which Postgres takes for another."""
    return re.sub(r"\.utf-?8(?=@|$)", ".UTF-8", name, flags=re.IGNORECASE)

"""What says of a value in plain sight that it is a secret: the name of its key, or a private key in it."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

SENSITIVE_WORDS: Final = ("password", "secret", "token", "key")
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PRIVATE_PARTS: Final = frozenset({"d", "k"})
"""What a JSON Web Key has only when it is a private or a symmetric one (RFC 7518, section 6)."""


def is_sensitive_key(key: str) -> bool:
    """Whether the last segment of a KV key says that its value is secret."""
    return _says_so(key.rsplit("/", 1)[-1])


def is_sensitive_name(name: str) -> bool:
    """Whether the last word of a key in a free map says so: ``x-api-key`` and ``signingKey`` do, ``token_url`` does not."""
    words = _WORD.findall(name)
    return bool(words) and _says_so(words[-1])


def holds_private_key(jwks: str) -> bool:
    """Whether a JSON Web Key Set, in base64 or not, has more than public keys in it. What cannot be read has none."""
    try:
        found = json.loads(jwks if jwks.lstrip().startswith("{") else b64decode(jwks))
    except ValueError:
        return False
    keys: Any = found.get("keys") if isinstance(found, Mapping) else None
    return isinstance(keys, list) and any(isinstance(key, Mapping) and _PRIVATE_PARTS & key.keys() for key in keys)


def _says_so(words: str) -> bool:
    return any(word in words.lower() for word in SENSITIVE_WORDS)

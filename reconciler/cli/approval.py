"""The question before an apply."""

from __future__ import annotations

import sys
from typing import Final

from reconciler.cli.streams import is_terminal, say

QUESTION: Final = 'Apply these changes? Only "yes" is accepted: '
DESTROY: Final = 'Destroy all this? Only "yes" is accepted: '


def can_ask() -> bool:
    """Whether a person can be asked: the question goes to standard error, the answer comes from standard input."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def ask(question: str = QUESTION) -> bool:
    """Whether the person at the terminal typed exactly ``yes``."""
    sys.stderr.write(f"\n{question}")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        say("")
    return answer.strip() == "yes"

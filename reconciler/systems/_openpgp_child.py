"""Run as a program of its own by :mod:`reconciler.systems.openpgp`: decrypts standard input to standard output, within limits set on itself.

Arguments: the folder that pysequoia is installed in, and how many bytes may come out. Standard input: the length of the password and a newline, the
password, the message. Standard error: the first line of what the library said, which is about the message and holds nothing of it.
"""

from __future__ import annotations

import os
import resource
import sys

MEMORY_BYTES = 1 << 29
CPU_S = 20


def main() -> int:
    """Decrypt. Returns the exit code."""
    folder, limit = sys.argv[1], int(sys.argv[2])
    sys.path.append(folder)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # Standard output is a file in memory: what goes beyond is refused by the kernel, and no other file can be written.
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    import pysequoia

    password = _exactly(int(_line()))
    try:
        pysequoia.decrypt_file("/proc/self/fd/0", "/proc/self/fd/1", passwords=[password.decode("utf-8", "surrogateescape")])
    except Exception as error:  # noqa: BLE001  # whatever it is, the other side makes a sentence of it
        sys.stderr.write(str(error).partition("\n")[0])
        return 1
    return 0


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += _exactly(1)
    return line


def _exactly(size: int) -> bytes:
    """So many bytes of standard input and not one more: the library reads the rest."""
    content = b""
    while len(content) < size:
        more = os.read(0, size - len(content))
        if not more:
            raise EOFError
        content += more
    return content


if __name__ == "__main__":
    sys.exit(main())

"""Runs one server and stops it when whoever started it is gone, however that ended.

Run as a program of its own: ``supervisor.py STOP_SIGNAL GRACE_S UID GID REMOVE_FOLDER -- PROGRAM ARGUMENT…``. Its standard input is a pipe that
nobody writes to: the end of file means that the starter wants the server stopped, or died, which a parent-death signal would not tell as well
(that one goes by threads, and is lost when the user changes). Then the server gets STOP_SIGNAL, after GRACE_S seconds SIGKILL, and
REMOVE_FOLDER is removed unless the starter had written a byte. UID and GID are -1 for no change. The server's process id is the only line on
standard output; the server's own output goes to standard error. Imports little, to start in some 15 ms.
"""

import os
import select
import signal
import sys
import time


def become(argv: list[str], uid: int, gid: int) -> None:
    """Turn this (forked) process into the server."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        if uid >= 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        os.execv(argv[0], argv)
    except OSError as error:
        os.write(2, f"cannot run {argv[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def supervise(pid: int, wake: int, stop_signal: int, grace_s: float) -> tuple[int, bool]:
    """Wait for the server's end, or for the wish to end it; its exit status, and whether its folder is to be kept."""
    deadline: float | None = None
    keep = False
    watched = [0, wake]
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), keep or deadline is None
        wanted = False
        if wake in ready:
            wanted = any(number in (signal.SIGTERM, signal.SIGINT) for number in os.read(wake, 64))
        if 0 in ready:
            if os.read(0, 64):
                keep = True
            else:
                watched.remove(0)
                wanted = True
        if wanted and deadline is None:
            deadline = time.monotonic() + grace_s
            os.kill(pid, stop_signal)
        elif deadline is not None and time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + grace_s


def main() -> int:
    """See the top of the file."""
    stop_signal, grace_s, uid, gid, remove = sys.argv[1:6]
    argv = sys.argv[7:]
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    pid = os.fork()
    if pid == 0:
        become(argv, int(uid), int(gid))
    os.write(1, f"{pid}\n".encode())
    os.close(1)
    status, keep = supervise(pid, wake, int(stop_signal), float(grace_s))
    if remove and not keep:
        import shutil

        shutil.rmtree(remove, ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())

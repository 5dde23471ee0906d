"""Notes the arguments and the environment of every program that is started, however short it runs: by ptrace, so none is missed.

    exec_tracer.py NOTES COMMAND…         runs a command, and watches it and all that it starts; ends as it does
    exec_tracer.py NOTES --process PID    watches what a process starts from now on, once it has printed a line; SIGTERM lets go of it

Each program is a line of JSON in NOTES: its process id, its arguments, its environment. A program of its own, because ptrace belongs to a thread.
"""

import ctypes
import json
import os
import signal
import sys

SEIZE, CONTINUE, LISTEN = 0x4206, 7, 0x4208
OPTIONS = 0x02 | 0x04 | 0x08 | 0x10  # fork, vfork, clone, exec
EXEC, STOP = 4, 128
ALL = 0x40000000
STOPPING = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, pid: int, argument: int) -> None:
    """One request; what has ended meanwhile is no matter."""
    if LIBC.ptrace(request, pid, None, argument) == -1 and ctypes.get_errno() != 3:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def words(pid: int, what: str) -> list[str]:
    """What /proc says of a process that has just begun with a program."""
    with open(f"/proc/{pid}/{what}", "rb") as file:
        return [word.decode(errors="surrogateescape") for word in file.read().split(b"\0")[:-1]]


def note(pid: int, notes: int) -> None:
    """The program that a process has just begun."""
    told = {"pid": pid, "arguments": words(pid, "cmdline"), "environment": words(pid, "environ")}
    os.write(notes, json.dumps(told).encode() + b"\n")


def watch(notes: int, until: int) -> int:
    """Go on until ``until`` ends, or nothing is left; the status of that one."""
    while True:
        try:
            pid, status = os.waitpid(-1, ALL)
        except ChildProcessError:
            return 0
        if not os.WIFSTOPPED(status):
            if pid == until:
                return status
            continue
        event, number = status >> 16, os.WSTOPSIG(status)
        if event == EXEC:
            note(pid, notes)
        if event == STOP and number in STOPPING:
            ptrace(LISTEN, pid, 0)
        else:
            ptrace(CONTINUE, pid, 0 if event else number)


def main() -> int:
    """See above."""
    notes = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if sys.argv[2] == "--process":
        pid = int(sys.argv[3])
        ptrace(SEIZE, pid, OPTIONS)
        print("watching", flush=True)
        watch(notes, pid)
        return 0
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(reading, 1)
        os.execvp(sys.argv[2], sys.argv[2:])
    ptrace(SEIZE, pid, OPTIONS)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: os.kill(pid, received))
    os.write(writing, b".")
    return os.waitstatus_to_exitcode(watch(notes, pid))


if __name__ == "__main__":
    sys.exit(main())

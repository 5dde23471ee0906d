"""Runs one machine: a Debian with its own systemd, in namespaces of its own, and leaves nothing of it behind.

Run as a program of its own, by :class:`tests.servers.supervised.Supervised`: ``machine_runner.py FOLDER ROOT VIEW HOSTNAME [PROGRAM…]`` (see
``machine_boot.sh`` for what they mean). It must be in a mount namespace of its own. ``FOLDER/machine`` then holds the machine's first process id, as
seen from here, and its address. SIGTERM ends the machine: by SIGKILL to its first process, by which the kernel ends all others in it.

The machine is reached over a pair of virtual network interfaces, but with loopback addresses, so that no server under test listens anywhere else: a
route for one address in the table ``local`` is narrower than that of 127.0.0.0/8, and ``route_localnet`` lets such packets pass. We are HERE for all
machines, and they reach one another through us. What we set up here (the interface, its route, its switches) is gone with the interface.
"""

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

HERE = "127.99.0.1"
NETWORK = "127.99.0.0/16"


def group_of(folder: Path) -> Path:
    """A cgroup for all processes of the machine. The hierarchy is mounted for us alone: where others have it differs."""
    tree = folder / "cgroup"
    tree.mkdir()
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", tree], check=True)
    for left in tree.glob("reconciler-machine-*"):  # of a runner that was killed: it could not tidy up
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            with contextlib.suppress(OSError):  # another one tidies up too
                remove_empty(left)
    group = tree / f"reconciler-machine-{os.getpid()}"
    group.mkdir()
    return group


def remove_group(group: Path) -> None:
    """Wait until its processes have ended, and remove it with all groups below it."""
    with (group / "cgroup.events").open() as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while "populated 1" in events.read():
            poll.poll()
            events.seek(0)
    remove_empty(group)


def remove_empty(group: Path) -> None:
    """Remove a group without processes, with all groups below it."""
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()


def plug_in(pid: int) -> tuple[str, str]:
    """Make the pair of interfaces, the other one into the network of ``pid``; the name of ours and the address of the machine."""
    while True:
        third, fourth = random.randint(1, 254), random.randint(1, 254)
        name, address = f"rec-{third}-{fourth}", f"127.99.{third}.{fourth}"
        made = subprocess.run(
            ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid)], capture_output=True, text=True, check=False
        )
        if made.returncode == 0:
            break
        if "File exists" not in made.stderr:
            sys.exit(f"no pair of network interfaces: {made.stderr.strip()}")
    switches = Path("/proc/sys/net/ipv4/conf", name)
    for switch in ("route_localnet", "forwarding"):
        (switches / switch).write_text("1")
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    subprocess.run(["ip", "route", "add", "unicast", f"{address}/32", "dev", name, "src", HERE, "table", "local"], check=True)
    return name, address


def main() -> int:
    """See the top of the file."""
    folder, root, view, hostname, *programs = sys.argv[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    group = group_of(Path(folder))

    def enter() -> None:
        (group / "cgroup.procs").write_text("0")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGCHLD})

    boot = ["sh", os.fspath(Path(__file__).with_name("machine_boot.sh")), root, folder, view, NETWORK, HERE, hostname, *programs]
    # --kill-child: who ends unshare ends the machine
    namespaces = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child=KILL", "--"]
    machine = subprocess.Popen(
        [*namespaces, *boot],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=enter,  # noqa: PLW1509 - there are no threads here
    )
    interface = None
    try:
        assert machine.stdin and machine.stdout
        if process_id := machine.stdout.readline().strip():
            interface, address = plug_in(int(process_id))
            (Path(folder) / "machine.new").write_text(f"{process_id} {address}")
            (Path(folder) / "machine.new").rename(Path(folder) / "machine")
            machine.stdin.write(f"{address}\n")
            machine.stdin.close()
            while machine.poll() is None and signal.sigwait({signal.SIGTERM, signal.SIGCHLD}) == signal.SIGCHLD:
                pass  # a child of ours has ended: the machine itself?
    finally:
        machine.kill()
        machine.wait()
        remove_group(group)
        if interface:
            # the kernel removes it with the machine's network, but when it gets round to it
            subprocess.run(["ip", "link", "delete", interface], stderr=subprocess.DEVNULL, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A Debian for test machines, made once with debootstrap into the user's cache folder, some 250 MB, and never written to afterwards.

Beside the system itself it has what a host of the mesh has: systemd, sshd, sudo, and two users who log in with a key, ``admin``, who may use sudo
freely, and ``careful``, who is asked for a password.

``python -m tests.servers.debian_root`` makes it ahead of the tests and prints where it is, or why there is none: then their tests are skipped.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.go_programs import cache_folder

_SUITE = "bookworm"
_PACKAGES = ("systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "sudo", "rpm", "procps")
_PROGRAMS = ("debootstrap", "unshare", "nsenter", "ip", "mount")
_MAKE = """
packages=$1 suite=$2 partial=$3 finish=$4
mount -t tmpfs -o mode=0755,size=2G tmpfs /mnt
debootstrap --variant=minbase "--include=$packages" "$suite" /mnt  # from where debootstrap itself thinks that packages are
chroot /mnt sh -euc "$finish"
umount /mnt/proc /mnt/sys 2>/dev/null || true
cp -a --one-file-system /mnt "$partial"
"""
_FINISH = """
for user in admin careful; do
    useradd --create-home --shell /bin/bash "$user"
done
echo 'admin ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/tests
echo 'careful ALL=(ALL:ALL) PASSWD: ALL' >>/etc/sudoers.d/tests
chmod 0440 /etc/sudoers.d/tests
# nothing that is not about us happens by itself
systemctl mask --quiet getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    e2scrub_reap.service systemd-pstore.service systemd-networkd.service systemd-modules-load.service modprobe@.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/bootstrap.log /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /etc/ssh/ssh_host_*
rm -f /etc/resolv.conf /etc/*- /etc/.pwd.lock
: >/etc/machine-id
"""
"""Run inside when all packages are there."""


class Unavailable(Exception):
    """This machine cannot run test machines, and why."""


def folder() -> Path:
    """Where it is kept; the name tells what went in, so that another recipe makes another one."""
    recipe = "\n".join([_SUITE, *_PACKAGES, _MAKE, _FINISH])
    return cache_folder() / f"debian-{_SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def obtain() -> Path:
    """The folder of the system; made now, in about a minute, when there is none. Two processes do not do it twice."""
    if os.geteuid() != 0:
        raise Unavailable("test machines need root")
    missing = [program for program in _PROGRAMS if shutil.which(program) is None and not (program == "debootstrap" and folder().exists())]
    if missing:
        raise Unavailable(f"test machines need {', '.join(missing)} on PATH")
    if not folder().exists():
        with _only_one():
            if not folder().exists():
                _make()
    return folder()


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    cache_folder().mkdir(parents=True, exist_ok=True)
    with folder().with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _make() -> None:
    """All or nothing."""
    partial = folder().with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    started = time.monotonic()
    print(f"test machines: making a Debian {_SUITE} for them, once, in about a minute …", file=sys.stderr, flush=True)
    # in memory, since dpkg waits for the disk at every step; in a mount namespace of its own, with which all that is mounted goes
    made = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", _MAKE, "sh", ",".join(_PACKAGES), _SUITE, str(partial), _FINISH],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(),
        check=False,
    )
    if made.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        raise Unavailable(f"debootstrap failed: {' '.join(made.stdout.splitlines()[-3:])}")
    partial.rename(folder())
    print(f"test machines: made in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **kept}


def main() -> int:
    """Make it, print its folder; not being able to is no error."""
    try:
        print(obtain())
    except Unavailable as reason:
        print(f"no test machines, their tests are skipped: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

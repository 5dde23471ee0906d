"""What there is on a machine, in a form that can be compared with what there was before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

LOOK = r"""
echo '# accounts'
getent passwd
getent group
echo '# files'
find /etc /usr/lib/systemd/system /usr/local /var/lib /home /root -xdev \
    ! -path '/etc/*-' ! -path /etc/.pwd.lock ! -path '/var/lib/systemd/*' ! -path '/var/lib/service-discover/*' ! -path '/var/lib/dpkg/*' \
    ! -name .sudo_as_admin_successful ! -path '/var/lib/sudo/*' \
    -printf '%y %m %u:%g %s %l\t%p\n' -type f -exec sha256sum {} + | sed 's/^d \([0-9]* [^ ]*\) [0-9]*/d \1/'
echo '# units'
systemctl list-units --all --no-legend --no-pager --plain --type=service | tr -s ' ' | cut -d ' ' -f 1-4
echo '# processes'
processes=$(ps -e -ww -o user:32=,args=)
echo "$processes" | grep -v -e ' ps -e -ww -o' -e ' sh -ec .echo' -e ' sshd: [a-z]* *\[' -e ' sshd: [a-z]*@' | tr -s ' '
"""
"""A shell script that tells all this, a part after each heading."""
_PARTS = ("accounts", "files", "units", "processes")


@dataclass(frozen=True)
class Snapshot:
    """Lines, each of which says all of one thing; ``files`` with their modes, owners, sizes and digests.

    Whether a unit is enabled is in ``files``, as a link in /etc/systemd/system; ``units`` are the services that systemd knows, with their states.
    Sessions of sshd are left out of ``processes``: they end a little later than their client. So is what sudo leaves in a home the first time.
    """

    accounts: frozenset[str]
    files: frozenset[str]
    units: frozenset[str]
    processes: frozenset[str]

    @classmethod
    def of(cls, told: str) -> Self:
        """What the script told."""
        parts: dict[str, set[str]] = {name: set() for name in _PARTS}
        part: set[str] = set()
        for line in filter(None, told.splitlines()):
            if line.removeprefix("# ") in _PARTS:
                part = parts[line.removeprefix("# ")]
            else:
                part.add(line)
        return cls(**{name: frozenset(lines) for name, lines in parts.items()})

    def since(self, before: Snapshot) -> list[str]:
        """What is there now and was not before (``+``) or the other way round (``-``); empty when nothing changed."""
        changed = []
        for part in _PARTS:
            now, then = getattr(self, part), getattr(before, part)
            changed += [f"- {line}" for line in sorted(then - now)] + [f"+ {line}" for line in sorted(now - then)]
        return changed

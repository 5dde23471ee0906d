"""A program that uses the token in a file all the time, and notes each use in the journal: whoever takes the token away too early is seen.

It stands in the place of ``consul connect envoy`` in a gateway's unit and reads the file once, when it starts, as that does. Asked for it, it is
instead a service that reads the file for each use, and then only a token that is still in the file when it is refused counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.servers.consul import ConsulServer
from tests.servers.machine import Machine
from tests.servers.machine_runner import HERE

PROGRAM: Final = "/usr/local/bin/uses-token"
_PROGRAM: Final = """\
#!/bin/bash
case $1 in
    version) echo Consul v1.22.3; exit ;;
    always) file=$2 ;;
    *) file=$4 ;;
esac
use() {  # sets status and token to what came of it
    token=$(<"$file")
    [ "$1" = "" ] || token=$1
    exec 3<>/dev/tcp/@HOST@/@PORT@ || exit 1
    printf 'GET /v1/acl/token/self HTTP/1.0\\r\\nX-Consul-Token: %s\\r\\n\\r\\n' "$token" >&3
    read -r _ status _ <&3
    exec 3>&-
}
kept=
[ "$1" = always ] || { kept=$(<"$file"); echo "began ${kept%%-*}"; }
exec 4<> <(:)
while :; do
    use "$kept"
    if [ "$status" != 200 ] && [ "$kept" = "" ] && [ "$token" != "$(<"$file")" ]; then status=outdated; fi
    echo "$status ${token%%-*}"
    read -rt 0.02 -u 4
done
"""


@dataclass(frozen=True)
class TokenUser:
    """The program on ``machine``, which uses tokens at ``server`` itself, since an agent would remember them."""

    machine: Machine
    server: ConsulServer

    def put(self) -> None:
        """Have it on the machine."""
        self.machine.write(PROGRAM, _PROGRAM.replace("@HOST@", HERE).replace("@PORT@", str(self.server.port)), mode="0755")

    def start_beside(self, unit: str, file: str) -> None:
        """Run it as a transient unit that reads ``file`` for each use."""
        self.machine.run("systemd-run", f"--unit={unit}", "--quiet", PROGRAM, "always", file)

    def notes(self, unit: str) -> list[tuple[str, str]]:
        """What came of each use, in order: the status of the answer, or ``began``, and the first part of the token's secret."""
        self.machine.run("journalctl", "--sync")
        told = self.machine.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}", f"--identifier={PROGRAM.rpartition('/')[2]}").stdout
        return [(what, token) for what, _, token in (line.partition(" ") for line in told.splitlines())]

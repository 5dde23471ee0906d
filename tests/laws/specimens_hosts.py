"""Specimens of what lives on machines: files on this one, and what the process of a gateway stands for on another one, over SSH."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from tests.servers.idle import IDLE

from .mesh import Mesh
from .specimen import Act, Specimen

_HERE = Path(__file__).parents[2]


def _file(n: str, content: dict[str, Any], other: dict[str, Any], text: str, mode: str = "0644") -> Specimen:
    """A file on this machine. ``text`` is what ``content`` stands for."""
    path = Path(tempfile.gettempdir(), f"{n}-file")
    entry = {"path": str(path), **content, "mode": mode}

    def write(text: str) -> None:
        path.write_text(text, "utf-8")
        path.chmod(int(mode, 8))

    may_give_away = os.geteuid() == 0
    return Specimen(
        kind="file",
        address=f"file/local{path}",
        entry=("files", n),
        manifest={"name": n, "files": {n: entry}},
        variants={
            "content": {**entry, **other},
            "mode": {**entry, "mode": "0600" if mode == "0640" else "0604"},
            **({"owner": {**entry, "owner": "65534"}, "group": {**entry, "group": "65534"}} if may_give_away else {}),
        },
        edited="content",
        edit=lambda m: write("edited"),
        damages=(("mode", lambda m: path.chmod(0o666)),),
        edit_unset=(lambda m: os.chown(path, 65534, 65534)) if may_give_away else None,
        read_unset=lambda m: (path.stat().st_uid, path.stat().st_gid),
        remove=lambda m: path.unlink(),
        make=lambda m: write(text),
        make_other=lambda m: write("other"),
        exists=lambda m: path.exists(),
        has_incarnation=False,
        is_importable=False,
    )


def file_of_text(n: str) -> Specimen:
    return _file(n, {"content": "hello\n"}, {"content": "good day\n"}, "hello\n")


def file_of_source(n: str) -> Specimen:
    one, other = _HERE / "LICENSE", _HERE / "CONTRIBUTING.md"
    return _file(n, {"source": str(one)}, {"source": str(other)}, one.read_text("utf-8"))


def file_of_template(n: str) -> Specimen:
    """It is no secret, and not for everybody to read."""
    template = str(Path(__file__).with_name("template.txt"))
    content = {"template": template, "values": {"port": "5432"}, "sensitive": False}
    return _file(n, content, {"values": {"port": "5433"}}, f"manifest {n}, host local, port 5432\n", "0640")


def file_of_secret(n: str) -> Specimen:
    return _file(n, {"content": {"exec": ["printf", "a secret"]}}, {"content": {"exec": ["printf", "another"]}}, "a secret", "0640")


_UNIT = """\
[Unit]
Description=Terminating gateway {n} of the service mesh
Requires=network-online.target
After=network-online.target

[Service]
Type=simple
ExecStart={idle} connect envoy {arguments}
Restart=on-failure
RestartSec=15
User={n}
Group={n}
KillMode=process
KillSignal=SIGKILL
LimitNOFILE=65536
TimeoutSec=120
TimeoutStopSec=120

[Install]
WantedBy=multi-user.target
"""
_ARGUMENTS = "-token-file /etc/carbonio/{n}/service-discover/token -admin-bind localhost:0 -gateway=terminating -register -service {n} {envoy}"
_NO_UNIT = """
systemctl disable --now --quiet "$1.service" 2>/dev/null || :
rm -f "/lib/systemd/system/$1.service" "/etc/systemd/system/$1.service"
systemctl daemon-reload
systemctl reset-failed "$1.service" 2>/dev/null || :
"""
_NO_USER = r'sed -i "/^$1:/d" /etc/passwd /etc/shadow'
_NO_GROUP = r'sed -i "/^$1:/d" /etc/group /etc/gshadow'
_NO_FOLDER = 'rm -rf "/etc/carbonio/$1"; rmdir /etc/carbonio 2>/dev/null || :'


def _of_gateway(n: str, kind: str, name: str, **acts: Any) -> Specimen:
    """One of the resources that a gateway's process stands for; the gateway's token and services are not part of it."""
    accessor = str(uuid.uuid5(uuid.NAMESPACE_URL, n))
    program = {"consul_binary": IDLE, "envoy_binary": IDLE}
    process = {"host": "gateway", "token": n, **program, "unit_path": f"/lib/systemd/system/{n}.service", "hardening": False}
    manifest = {
        "name": n,
        "hosts": {"gateway": {"ssh": "root@gateway"}},
        "mesh_credentials": {"tokens": {n: {"description": n, "accessor": accessor, "service_identities": [{"service": n}]}}},
        "terminating_gateways": {n: {"services": {f"{n}-db": {}}, "process": process}},
    }
    make, make_other = acts.pop("make"), acts.pop("make_other")
    option_entry = acts.pop("option_entry", ("terminating_gateways", n))

    def with_token(act: Act) -> Act:
        def made(mesh: Mesh) -> None:
            if mesh.token(n) is None:
                mesh.http("PUT", "/v1/acl/token", {"AccessorID": accessor, "Description": n, "ServiceIdentities": [{"ServiceName": n}]})
            act(mesh)

        return made

    def clear(mesh: Mesh) -> None:
        for script in (_NO_UNIT, _NO_USER, _NO_GROUP, _NO_FOLDER):
            mesh.on(script, n)
        mesh.node.deregister(n)
        if mesh.token(n) is not None:
            mesh.http("DELETE", f"/v1/acl/token/{accessor}")

    return Specimen(
        kind=kind,
        address=f"{kind}/gateway/{name}",
        entry=("terminating_gateways", n, "process"),
        manifest=manifest,
        variants={},
        make=with_token(make),
        make_other=make_other and with_token(make_other),
        option_entry=option_entry,
        leftovers=(clear,),
        on_machine=True,
        **acts,
    )


def directory(n: str) -> Specimen:
    folder = f"/etc/carbonio/{n}/service-discover"
    return _of_gateway(
        n,
        "directory",
        folder.removeprefix("/"),
        edited="mode",
        edit=lambda m: m.on("chmod 0700 $1", folder),
        remove=lambda m: m.on(_NO_FOLDER, n),
        make=lambda m: m.on("mkdir -p $1", folder),
        make_other=lambda m: m.on("mkdir -p $1 && chmod 0711 $1", folder),
        exists=lambda m: m.is_there(folder),
        has_incarnation=False,
    )


_ACCOUNTS = """
getent group "$1" >/dev/null || groupadd --system "$1"
getent passwd "$1" >/dev/null || useradd --system -M -g "$1" -s /sbin/nologin "$1"
"""
_TOKEN = (
    _ACCOUNTS
    + """
folder=/etc/carbonio/$1/service-discover
mkdir -p "$folder"
cat >"$folder/token"
chown "$1:$1" "$folder/token"
chmod 0600 "$folder/token"
"""
)


def token_file_of_gateway(n: str) -> Specimen:
    path = f"/etc/carbonio/{n}/service-discover/token"
    return _of_gateway(
        n,
        "file",
        path.removeprefix("/"),
        edited="token",
        edit=lambda m: m.on("echo edited >$1", path),
        damages=(
            ("mode", lambda m: m.on("chmod 0644 $1", path)),
            ("owner", lambda m: m.on("chown root $1", path)),
            ("group", lambda m: m.on("chgrp root $1", path)),
            ("token", lambda m: m.on(": >$1", path)),
        ),
        remove=lambda m: m.on("rm $1", path),
        make=lambda m: m.on(_TOKEN, n, stdin=m.token(n)["SecretID"] + "\n"),
        make_other=lambda m: m.on(_TOKEN, n, stdin="other"),
        exists=lambda m: m.is_there(path),
        has_incarnation=False,
        is_importable=False,
        option_entry=("mesh_credentials", "tokens", n),  # whose options it shares
    )


def os_group(n: str) -> Specimen:
    """There is nothing of it that could be edited or different."""
    return _of_gateway(
        n,
        "os-group",
        n,
        edited="",
        edit=None,
        remove=lambda m: m.on(_NO_GROUP, n),
        make=lambda m: m.on("groupadd --gid 4711 $1", n),
        make_other=None,
        exists=lambda m: m.on("getent group $1 || :", n) != "",
    )


def os_user(n: str) -> Specimen:
    add = "getent group $1 >/dev/null || groupadd --system $1; useradd --system --uid 4711 -M -g $1"
    return _of_gateway(
        n,
        "os-user",
        n,
        edited="shell",
        edit=lambda m: m.on("usermod --shell /bin/bash $1", n),
        damages=(("group", lambda m: m.on("usermod --gid nogroup $1", n)),),
        remove=lambda m: m.on(_NO_USER, n),
        make=lambda m: m.on(f"{add} -s /usr/sbin/nologin $1", n),
        make_other=lambda m: m.on(f"{add} -s /bin/sh $1", n),
        exists=lambda m: m.on("getent passwd $1 || :", n) != "",
    )


def systemd_unit(n: str) -> Specimen:
    unit, path = f"{n}.service", f"/lib/systemd/system/{n}.service"
    enabled = "cat >/lib/systemd/system/$1.service; systemctl daemon-reload; systemctl enable --quiet $1.service"

    def make(mesh: Mesh, *, starts: bool) -> None:
        mesh.on(_TOKEN, n, stdin=mesh.token(n)["SecretID"] + "\n")
        mesh.on(enabled, n, stdin=_UNIT.format(n=n, idle=IDLE, arguments=_ARGUMENTS.format(n=n, envoy=f"-envoy-binary {IDLE}")))
        mesh.on("systemctl start $1", unit) if starts else None

    return _of_gateway(
        n,
        "systemd-unit",
        unit,
        edited="active",
        edit=lambda m: m.on("systemctl stop $1", unit),
        damages=(
            ("enabled", lambda m: m.on("systemctl disable --quiet $1", unit)),
            ("enabled", lambda m: m.on("systemctl mask --quiet --now $1", unit)),
            ("active", lambda m: m.on("systemctl kill --signal=KILL $1; systemctl stop $1", unit)),
        ),
        remove=lambda m: m.on(_NO_UNIT, n),
        make=lambda m: make(m, starts=True),
        make_other=lambda m: make(m, starts=False),
        exists=lambda m: m.is_there(path) or m.on("systemctl is-active $1 || :", unit).strip() == "active",
        has_incarnation=False,
    )


def agent_service(n: str) -> Specimen:
    def register(mesh: Mesh, port: int) -> None:
        mesh.node.register({"Kind": "terminating-gateway", "ID": n, "Name": n, "Port": port})

    return _of_gateway(
        n,
        "agent-service",
        n,
        edited="port",
        edit=lambda m: register(m, 8444),
        damages=(("kind", lambda m: m.node.register({"ID": n, "Name": n, "Port": 8443})),),
        remove=lambda m: m.node.deregister(n),
        make=lambda m: register(m, 8443),
        make_other=lambda m: register(m, 8444),
        exists=lambda m: n in m.node.services(),
        has_incarnation=False,
    )


SPECIMENS = (
    file_of_text,
    file_of_source,
    file_of_template,
    file_of_secret,
    directory,
    token_file_of_gateway,
    os_group,
    os_user,
    systemd_unit,
    agent_service,
)

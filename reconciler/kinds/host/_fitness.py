"""Whether a machine is fit for a gateway: systemd, programs whose versions fit each other, packages, and Carbonio's own set-up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from reconciler.kinds.host._gateway import Process
from reconciler.model.address import Address
from reconciler.model.kind import Finding
from reconciler.systems.host import Facts, Inquiry

PENDING_SETUPS: Final = "/etc/zextras/pending-setups.d"

SUPPORTED_ENVOY: Final[Mapping[tuple[int, int], tuple[int, int]]] = {(1, 19): (26, 29), (1, 22): (33, 35)}
"""The oldest and the newest 1.N of Envoy that ``consul connect envoy`` of a Consul takes, as far as that was looked up: in the file ENVOY_VERSIONS of
the package xdscommon that is built into it (v0.7.3 in 1.19.2, v0.9.2 in 1.22.3). Of other versions there is no opinion."""

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where systemd looks for programs (systemd.exec(5)), which is not where a person's shell does."""

_CONSUL_VERSION: Final = re.compile(r"^Consul v(\d+)\.(\d+)\.(\d+)", re.MULTILINE)
_ENVOY_VERSION: Final = re.compile(r"version: [0-9a-f]+/(\d+)\.(\d+)\.(\d+)")
_OPT_OUT: Final = "envoy_version_check: false"


def asked(process: Process) -> Inquiry:
    """What must be known of the machine."""
    programs = {(process.consul, "version"), *((path, "--version") for path in _envoys(process))}
    packages = {*(process.process.absent_packages or ()), *(process.process.present_packages or ())}
    return Inquiry(programs=frozenset(programs), packages=frozenset(packages), pending=frozenset({PENDING_SETUPS}))


def findings(address: Address, process: Process, facts: Facts) -> Iterator[Finding]:
    """What speaks against the gateway on this machine, and what should be known."""
    if not facts.has_systemd:
        yield Finding(address, f"{process.host} was not booted with systemd, which is to run it", "choose another host")
    yield from _of_programs(address, process, facts)
    for package in process.process.absent_packages or ():
        if package in facts.packages:
            what = f"{process.host} has the package {package} {facts.packages[package]}, which absent_packages rules out"
            yield Finding(address, what, "remove the package, or choose another host")
    for package in process.process.present_packages or ():
        if package not in facts.packages:
            yield Finding(address, f"{process.host} lacks the package {package}, which present_packages demands", "install it")
    waiting = facts.pending.get(PENDING_SETUPS, ())
    if waiting:
        what = f"{process.host} has set-ups that were not run yet ({', '.join(waiting[:5])}{', …' if len(waiting) > 5 else ''})"
        yield Finding(address, what, "run pending-setups -a there", is_remark=True)


def _of_programs(address: Address, process: Process, facts: Facts) -> Iterator[Finding]:
    consul = facts.programs.get(process.consul)
    if consul is None:
        yield Finding(address, f"{process.host} has no program {process.consul}", "install Consul there, or write consul_binary: PATH")
    found = next((path for path in _envoys(process) if path in facts.programs), None)
    if found is None:
        where = process.process.envoy_binary or f"envoy in {_path(process)}"
        yield Finding(address, f"{process.host} has no program {where}", "install Envoy there, or write envoy_binary: PATH")
    if consul is None or found is None or process.process.envoy_version_check is False:
        return
    theirs, its = _CONSUL_VERSION.search(consul), _ENVOY_VERSION.search(facts.programs[found])
    if theirs is None or its is None:
        silent = process.consul if theirs is None else found
        yield Finding(address, f"{silent} on {process.host} does not tell its version", f"see whether it runs, or write {_OPT_OUT}", is_remark=True)
        return
    versions = SUPPORTED_ENVOY.get((int(theirs[1]), int(theirs[2])))
    if versions is not None and not (its[1] == "1" and versions[0] <= int(its[2]) <= versions[1]):
        takes = f"Consul {'.'.join(theirs.groups())} takes 1.{versions[0]} to 1.{versions[1]}"
        yield Finding(
            address, f"{found} on {process.host} is Envoy {'.'.join(its.groups())}, and {takes}", f"install one of these, or write {_OPT_OUT}"
        )  # fmt: skip


def _envoys(process: Process) -> list[str]:
    """Where Envoy may be; the first one that is there counts."""
    named = process.process.envoy_binary
    return [named] if named is not None else [f"{folder}/envoy" for folder in _path(process).split(":") if folder.startswith("/")]


def _path(process: Process) -> str:
    return (process.process.environment or {}).get("PATH", _PATH)

"""The machines that a command on the cluster's credentials is about: named one by one, or the nodes of a manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.connecting import load_target
from reconciler.cli.options import Target
from reconciler.model.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.engine.connections import Connections
    from reconciler.manifest.connections import HostSection
    from reconciler.manifest.models import MeshNode
    from reconciler.systems.host import Host

LOCAL: Final = "local"

takes_nodes: Final = click.option(
    "--nodes", "files", metavar="FILE", multiple=True, type=click.Path(readable=False),
    help="A manifest, for the nodes in its mesh_credentials.cluster; with several, later ones are merged over earlier ones.",
)  # fmt: skip


@contextmanager
def of_manifest(files: tuple[str, ...], destinations: tuple[str, ...] = (), *, sudo: bool = False) -> Iterator[Connections]:
    """The machines of a manifest, if there is one, and those behind other SSH ``destinations``. The connection to Consul is that of the environment,
    without its token, and not the manifest's.
    """
    from dataclasses import replace

    from reconciler.engine.connections import Connections
    from reconciler.manifest.loading import load_text
    from reconciler.systems.consul.connection import TOKEN_VARIABLES

    loaded = load_target(Target(files=files)) if files else load_text("version: 1\nname: machines\n", Path.cwd())
    known = loaded.manifest.hosts
    more = {name: _behind(name, sudo=sudo) for name in destinations if name != LOCAL and name not in known}
    manifest = loaded.manifest.model_copy(update={"consul": None, "hosts": {**known, **more}})
    environ = {name: value for name, value in os.environ.items() if name not in TOKEN_VARIABLES}
    with Connections(replace(loaded, manifest=manifest), environ) as connections:
        yield connections


def nodes_of(connections: Connections) -> list[tuple[str, MeshNode]]:
    """The nodes of the manifest, by label, in their order. Raises ReconcilerError when it has none."""
    cluster = connections.loaded.manifest.mesh_credentials.cluster
    if cluster is None or not cluster.nodes:
        raise ReconcilerError(f"the manifest {connections.loaded.name} has no nodes: write them under mesh_credentials.cluster.nodes")
    return cluster.in_order


@contextmanager
def named(names: tuple[str, ...], files: tuple[str, ...], *, sudo: bool) -> Iterator[list[Host]]:
    """The machines ``names``: hosts of the manifest that is called so, SSH destinations, or ``local``; without names every node of the manifest."""
    if not names and not files:
        raise click.UsageError("Missing --host, or --nodes for those of a manifest.", click.get_current_context())
    with of_manifest(files, names, sudo=sudo) as connections:
        wanted = names or tuple(node.host for _, node in nodes_of(connections))
        yield [connections.host(name) for name in dict.fromkeys(wanted)]


def _behind(destination: str, *, sudo: bool) -> HostSection:
    from reconciler.manifest.connections import HostSection
    from reconciler.manifest.fields import SSH_DESTINATION

    if SSH_DESTINATION.compiled.fullmatch(destination) is None:
        raise click.BadParameter(f"{destination!r} is no SSH destination such as root@node.example.com.", param_hint="--host")
    return HostSection(ssh=destination, sudo=sudo)

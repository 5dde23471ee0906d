"""The entry point: the commands, and what every failure looks like from outside."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from reconciler import __version__
from reconciler.cli.failures import Verbosity, exit_code_of, report
from reconciler.cli.interruption import terminable
from reconciler.cli.lazy import LazyGroup
from reconciler.cli.streams import leave, never_fail_to_encode

COMMANDS = (
    "plan", "apply", "drift", "destroy", "validate", "import", "owned", "render", "policy", "unlock", "credentials", "schema", "completion",
    "version",
)  # fmt: skip

_GARBAGE: Final = 200_000
"""How many objects may be made before a look for those that only refer to each other."""


@click.group(
    cls=LazyGroup,
    names=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  reconciler validate carbonio.yaml
  reconciler plan carbonio.yaml
  reconciler apply carbonio.yaml

\b
Exit codes: 0 done or nothing to do, 1 error, 2 changes pending (plan --detailed-exitcode) or drift,
3 apply incomplete, 4 locked by another run, 5 refused, 130 interrupted.""",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def reconciler() -> None:
    """Make a Consul service mesh and its Postgres databases match a manifest.

    A manifest is a YAML file that describes external services, gateways, intentions, ACL policies and tokens, KV entries, database roles and
    databases. What this program made, it remembers in Consul: remove an entry from the manifest, and apply removes the resource.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code (docs/design.md §4)."""
    if "_RECONCILER_COMPLETE" in os.environ:
        from reconciler.cli.completing import answer

        return answer(reconciler)
    verbosity = Verbosity()
    never_fail_to_encode()
    try:
        with terminable():
            code = reconciler.main(args=arguments, prog_name="reconciler", obj=verbosity, standalone_mode=False)
    except BaseException as failure:  # noqa: BLE001  # the one place where anything at all becomes a line and an exit code
        report(failure, verbosity)
        return exit_code_of(failure)
    return code if isinstance(code, int) else 0


def program() -> NoReturn:
    """Run one command as the whole of a process."""
    # What it has in memory may be worth more than to know why it crashed. Other programs that it runs may ask for more again.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # No plugin that happens to be installed sees what is in a manifest; and looking for some reads what is said of every package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # A run ends before it has made much rubbish: looking for it costs a tenth of a plan.
    gc.set_threshold(_GARBAGE)
    leave(main())


if __name__ == "__main__":
    program()

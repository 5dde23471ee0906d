"""What the documentation says of commands, options, links, exit codes, messages and rights is so."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from reconciler.cli import drift, plan
from reconciler.cli.main import COMMANDS
from reconciler.engine import operations
from reconciler.engine.observe import declare
from reconciler.manifest.loading import load
from reconciler.model.errors import ReconcilerError
from reconciler.model.outcome import Outcome
from reconciler.systems.consul.identity import OLDEST
from reconciler.systems.postgres.server import OLDEST_VERSION
from tests.unit.pages import EVERY_OPTION, FENCE, LINK, PAGES, README, ROOT, anchors, blocks, calls, is_a_call, page_name, spans, text_of

_POINTER = re.compile(r"docs/(design|facts)\.md(?: §|: )((?:Consul |Postgres )?\d+)")


every_page = pytest.mark.parametrize("page", PAGES, ids=page_name)


# --- commands and options ---------------------------------------------------------------------------------------------------------------


@every_page
def test_every_command_line_is_one_that_the_program_takes(page: Path):
    wrong = {call: why for call in calls(page) if (why := is_a_call(call))}
    assert not wrong


@every_page
def test_every_option_that_is_named_exists(page: Path):
    named = {re.sub("^-v+$", "-v", w) for s in spans(page) for w in s.split()[:1] if re.fullmatch(r"--[a-z][a-z-]*|-[a-z]+", s.split()[0])}
    of_others = {"-c"}  # of the Postgres server, in an example of `options`
    assert named <= EVERY_OPTION | of_others


def test_commands_are_found_on_the_pages():
    """So that the tests above cannot pass by finding nothing."""
    found = {shlex.split(call)[0] for call in calls(README)}
    assert found >= set(COMMANDS)
    assert is_a_call("plan --no-such-option FILE") == "plan has no option --no-such-option"
    assert is_a_call("owned lost") == "there is no command owned lost"
    assert is_a_call("paln FILE") == "there is no command ['paln']"
    with pytest.raises(click.BadParameter):
        is_a_call("apply --lock-timeout 5 FILE")


def test_the_readme_names_every_command_and_every_consent():
    text = text_of(README)
    assert [c for c in COMMANDS if f"`reconciler {c}" not in text] == []
    assert [o for o in ("--adopt", "--allow-delete", "--allow-data-loss", "--max-deletes", "--auto-approve") if f"`{o}" not in text] == []


# --- links and pointers -----------------------------------------------------------------------------------------------------------------


@every_page
def test_every_link_within_the_repository_leads_somewhere(page: Path):
    broken = []
    for target in LINK.findall(FENCE.sub("", text_of(page))):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def test_every_pointer_in_the_code_leads_to_a_section():
    sections = {
        "design": set(re.findall(r"^## (\d+)\. ", text_of(ROOT / "docs" / "design.md"), re.MULTILINE)),
        "facts": set(re.findall(r"^### ((?:Consul|Postgres) \d+): ", text_of(ROOT / "docs" / "facts.md"), re.MULTILINE)),
    }
    found = [
        (path, page, section)
        for folder in ("reconciler", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for page, section in _POINTER.findall(text_of(path))
    ]
    assert len(found) > 30
    assert [f for f in found if f[2] not in sections[f[1]]] == []


def test_every_decision_is_numbered_in_order():
    names = [page.name for page in PAGES if page.parent.name == "decisions"]
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert [name for name in names if not text_of(ROOT / "docs" / "decisions" / name).startswith(f"# {int(name[:4])}. ")] == []


# --- numbers ----------------------------------------------------------------------------------------------------------------------------


def codes_in_the_program() -> set[int]:
    def below(error: type[ReconcilerError]) -> Iterator[type[ReconcilerError]]:
        yield error
        for sub in error.__subclasses__():
            yield from below(sub)

    outcomes: list[Any] = [Outcome(()), Outcome((), stopped="x"), Outcome((), interrupted=True)]
    return {e.exit_code for e in below(ReconcilerError)} | {o.exit_code for o in outcomes} | {plan.PENDING, drift.DRIFTED}


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "design.md", ROOT / "docs" / "operating.md"], ids=page_name)
def test_exit_codes_are_those_of_the_program(page: Path):
    documented = {int(m) for m in re.findall(r"^\| (\d+) \| ", text_of(page), re.MULTILINE)}
    assert documented == codes_in_the_program()


def test_oldest_versions_are_those_of_the_program():
    needs = text_of(README).partition("## What it needs")[2].partition("\n## ")[0]
    assert f"Consul {OLDEST[0]}.{OLDEST[1]} or later" in needs
    assert f"Postgres {OLDEST_VERSION // 10000} or later" in needs
    (wanted,) = re.findall(r'^requires-python = ">=([\d.]+)"$', text_of(ROOT / "pyproject.toml"), re.MULTILINE)
    assert f"Python {wanted} or later" in needs


# --- messages and output ----------------------------------------------------------------------------------------------------------------


def words_of_the_program() -> str:
    """Every literal text in the code, those between the braces of f-strings included."""
    trees = [ast.parse(text_of(path)) for path in (ROOT / "reconciler").rglob("*.py")]
    return "\0".join(node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_the_messages_that_are_explained_are_those_of_the_program():
    page = text_of(ROOT / "docs" / "operating.md")
    rows = re.findall(r"^\| (\*.*?) \| ", page.partition("## When it refuses")[2], re.MULTILINE)
    quoted = [part.strip() for row in rows for message in re.findall(r"\*([^*]+)\*", row) for part in message.split("…") if part.strip()]
    assert len(quoted) > 40
    words = words_of_the_program()
    assert [part for part in quoted if part not in words] == []


def test_every_rule_of_refusal_is_explained():
    guards = [text_of(path) for path in (ROOT / "reconciler" / "engine").glob("*.py")]
    rules = {rule for text in guards for rule in re.findall(r'Refusal\(\s*"([^"]+)"', text)}
    explained = set(re.findall(r"\[([a-z ]+)\] \|", text_of(ROOT / "docs" / "operating.md")))
    assert explained == rules


def test_what_the_readme_shows_is_about_the_examples():
    example, gateway = ({str(a) for a in declare(load([ROOT / "examples" / n / "manifest.yaml"]))} for n in ("01-external-postgres", "07-gateway"))
    consoles = "".join(b.text for b in blocks(README) if b.language == "console")
    shown = re.findall(r"^ *[+~-] (\S+/\S+)", consoles, re.MULTILINE)
    assert len(shown) > 5
    assert set(shown) <= example | gateway
    assert f"Plan: {len(example)} to add, " in consoles
    assert f"Plan: {len(gateway)} to add, " in consoles
    assert f"{len(example) - 1} deleted" in consoles


@pytest.mark.parametrize("role", ["postgres", "deploy"])
def test_the_rights_that_are_documented_are_enough(role, consul, postgres18, environment):
    reading, writing = (consul.token_for(b.text) for b in blocks(ROOT / "docs" / "operating.md") if b.language == "hcl")
    environ = {**environment, **postgres18.environment}
    if role == "deploy":
        postgres18.query("CREATE ROLE deploy LOGIN CREATEROLE CREATEDB PASSWORD 'deploy'")
        environ |= {"PGUSER": "deploy", "PGPASSWORD": "deploy"}
    manifest = load([ROOT / "examples" / "01-external-postgres" / "manifest.yaml"])

    def planned() -> int:
        with operations.Connections(manifest, environ | {"CONSUL_HTTP_TOKEN": reading}) as connections:
            return len(operations.plan(connections, operations.Options()).changes)

    def applied(**options: Any) -> bool:
        with operations.Connections(manifest, environ | {"CONSUL_HTTP_TOKEN": writing}) as connections:
            _, outcome = operations.apply(
                connections, operations.Options(**options), approve=lambda _: True, progress=lambda _: None, stop=threading.Event()
            )
        return outcome is not None and outcome.complete

    assert planned() == 12
    assert applied()
    assert planned() == 0
    with operations.Connections(manifest, environ | {"CONSUL_HTTP_TOKEN": reading}) as connections:
        assert operations.drift(connections).is_empty
    assert applied(destroy=True)


# --- what must not be in the repository -------------------------------------------------------------------------------------------------

_PUBLIC_HOSTS = re.compile(
    r"(127\.[\d.]+|([\w-]+\.)*example\.(com|org|net)|[\w.-]+\.invalid|json-schema\.org|no-color\.org|www\.postgresql\.org"
    r"|developer\.hashicorp\.com|www\.apache\.org)(:\d+)?"
)
_MACHINE_PATH = re.compile(r"(?<![\w.)}\]…-])/(?:work|tmp/work|workspace|builds|home/(?!me/)\w+|Users/\w+)/[\w.]")
_REGISTRY = re.compile(r"(?i)\b(artifactory|nexus|devpi|verdaccio|(extra-)?index-url|find-links)\b")


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git repository")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_machine_or_a_registry():
    wrong = []
    for path in tracked():
        if path == Path(__file__) or path.name in ("go.sum", "go.mod"):
            continue
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            hosts = re.findall(r"\bhttps?://([\w-]+(?:\.[\w-]+)+(?::\d+)?)", line) if path.parts[len(ROOT.parts)] != "tests" else []
            strangers = [h for h in hosts if not _PUBLIC_HOSTS.fullmatch(h)]
            if strangers or _MACHINE_PATH.search(line) or _REGISTRY.search(line.replace("--no-emit-index-url", "")):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not wrong


def test_a_machine_or_a_registry_would_be_found():
    """So that the test above cannot pass by finding nothing."""
    assert _MACHINE_PATH.search("see /" + "work/main/README.md")
    assert _MACHINE_PATH.search("cd /home/" + "anna/reconciler")
    assert not _MACHINE_PATH.search("path: /home/me/token")
    assert _REGISTRY.search("--index-url https://packages.example.com")
    assert not _PUBLIC_HOSTS.fullmatch("packages.internal")

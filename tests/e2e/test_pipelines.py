"""The pipelines of ``examples/pipelines`` are valid, and their commands do on real servers what the README says."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.command import LIMIT_S, ROOT
from tests.forks import script
from tests.servers import actionlint_binary
from tests.unit.pages import is_a_call

FOLDER = ROOT / "examples" / "pipelines"
GITHUB, GITLAB = FOLDER / "github-actions.yml", FOLDER / ".gitlab-ci.yml"
MANIFEST = ROOT / "examples" / "01-external-postgres" / "manifest.yaml"

# Stands in for `gh` and `curl`: notes its arguments and what it reads, and answers as if there were one comment, or none.
SITE = """\
#!/bin/sh
printf '%s\\n' "$0" "$@" ---- >> "$NOTED"
case "$*" in *--config*) cat > "$NOTED.config" ;; esac
case "$*" in
    *--jq*) printf '%s' "$COMMENT" ;;
    *per_page*) if [ "$COMMENT" ]; then echo '[{"id": '"$COMMENT"', "body": "<!-- reconciler plan mesh -->"}]'; else echo '[]'; fi ;;
    *) echo '{}' ;;
esac
"""


def test_actionlint_finds_nothing(tmp_path):
    config = tmp_path / "actionlint.yaml"
    config.write_text("self-hosted-runner: {labels: [mesh]}\n")
    command = [actionlint_binary.obtain(), "-no-color", "-shellcheck=", "-pyflakes=", "-config-file", config, GITHUB]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


@pytest.mark.parametrize(("schema", "file"), [("vendor.github-workflows", GITHUB), ("vendor.gitlab-ci", GITLAB)], ids=["GitHub", "GitLab"])
def test_the_files_are_what_the_sites_take(schema, file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, "--data-transform", "gitlab-ci", str(file)]
    if file == GITHUB:
        del command[5:7]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


class Site:
    """What a runner does with the jobs of a file: each in a folder with nothing but the repository and what was handed on to it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.noted = folder / "noted"
        self._jobs = 0
        for name in ("gh", "curl"):
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(SITE)
            program.chmod(0o755)
        self.environment |= {"PATH": f"{folder / 'bin'}:{environment['PATH']}", "NOTED": str(self.noted), "COMMENT": ""}

    def checkout(self) -> Path:
        self._jobs += 1
        workspace = self.folder / f"job-{self._jobs}"
        workspace.mkdir()
        shutil.copy(MANIFEST, workspace / "mesh.yaml")
        return workspace

    def bash(self, workspace: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As both sites do it: the first command that fails ends the script."""
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script], cwd=workspace, env={**self.environment, **environment}, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip


class GitHub(Site):
    """Runs the steps of a workflow that are commands."""

    file = YAML(typ="safe").load(GITHUB)

    def run(self, job: str, given: Path | None = None, **expressions: str) -> tuple[int, Path]:
        """The exit code of a job, and its workspace; ``given`` is the workspace of a job whose artefact it downloads."""
        workspace = self.checkout()
        output = workspace / "output"
        outputs: dict[str, str] = {}
        if given:
            shutil.copy(given / "mesh.plan", workspace)
        for step in self.file["jobs"][job]["steps"]:
            if "run" not in step or step["run"].startswith("pip install"):
                continue
            if "hashFiles" in step.get("if", "") and not (workspace / "plan.json").exists():
                continue
            values = {name: self._value(value, outputs, expressions) for name, value in {**self.file["env"], **step.get("env", {})}.items()}
            output.write_text("")
            ran = self.bash(workspace, step["run"], GITHUB_OUTPUT=str(output), GITHUB_STEP_SUMMARY=str(workspace / "summary.md"), **values)
            outputs |= dict(line.split("=", 1) for line in output.read_text().splitlines())
            print(ran.stdout, ran.stderr)  # shown by pytest when something fails
            if ran.returncode:
                return ran.returncode, workspace
        self.outputs = outputs
        return 0, workspace

    @staticmethod
    def _value(text: str, outputs: dict[str, str], expressions: dict[str, str]) -> str:
        known = {**{f"steps.plan.outputs.{name}": value for name, value in outputs.items()}, **expressions}
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known.get(found[1], "x"), text)


class GitLab(Site):
    """Runs the scripts of jobs."""

    file = YAML(typ="safe").load(GITLAB)

    def run(self, job: str, given: Path | None = None) -> tuple[int, Path]:
        workspace = self.checkout()
        if given:
            shutil.copy(given / "mesh.plan", workspace)
        ran = self.bash(workspace, "\n".join(self.file[job]["script"]), **self.file["variables"], CI_API_V4_URL="https://gitlab.example.com/api/v4",
                        MESH_COMMENT_TOKEN="glpat-comment")  # fmt: skip
        print(ran.stdout, ran.stderr)
        return ran.returncode, workspace


@pytest.fixture(params=[GitHub, GitLab])
def site(request, reconciler, tmp_path):
    site = request.param(tmp_path, dict(reconciler.whole_environment))
    with script(tmp_path / "bin" / "reconciler"):
        yield site


def commands(file):
    text = file.read_text("utf-8")
    return re.findall(r"^ +(?:- |run: )?reconciler ([a-z].*?)(?: +#.*| \|\| .*| > .*)?$", text, re.MULTILINE)


@pytest.mark.parametrize("file", [GITHUB, GITLAB], ids=["GitHub", "GitLab"])
def test_every_command_is_one_that_the_program_takes(file):
    calls = [call.replace('"$MANIFEST"', "FILE").replace("mesh.plan", "FILE") for call in commands(file)]
    assert [call.split()[0] for call in calls] == ["validate", "plan", "plan", "apply", "drift"]
    assert [why for call in calls if (why := is_a_call(call))] == []


def test_from_a_merge_request_to_drift(site, consul, live):
    assert site.run("validate")[0] == 0
    before = live()
    code, workspace = site.run("review")
    assert code == 0
    comment = (workspace / "plan.md").read_text("utf-8")
    assert comment.startswith("<!-- reconciler plan ")
    assert "**Plan: 12 to add, " in comment
    assert live() == before
    code, planned = site.run("plan")
    assert code == 0
    assert live() == before
    assert site.run("apply", given=planned)[0] == 0
    assert live() != before
    assert consul.keys("carbonio-files/")["carbonio-files/db-name"] == b"carbonio-files-db"
    assert site.run("drift")[0] == 0
    consul.put("/v1/kv/carbonio-files/db-name", b"by hand")
    assert site.run("drift")[0] == 2
    session = consul.put("/v1/session/create", {"TTL": "60s", "Behavior": "delete"})["ID"]
    holder = dict.fromkeys(("who", "host", "operation", "since", "start_time", "boot_id", "pid_namespace"), "x") | {"pid": 7}
    (name,) = {json.loads(value)["owner"] for value in consul.keys("reconciler/owned/").values()}
    assert consul.put(f"/v1/kv/reconciler/lock/{name}?acquire={session}", holder)
    assert site.run("drift")[0] == 0, "an apply is under way: the next run will tell"


def test_a_plan_that_is_stale_is_not_applied(site, consul, live):
    code, planned = site.run("plan")
    assert code == 0
    consul.put("/v1/kv/carbonio-files/db-name", b"meanwhile")
    before = live()
    assert site.run("apply", given=planned)[0] == 5
    assert live() == before


def test_a_plan_that_must_not_be_applied_is_shown_and_fails(site, consul):
    consul.put("/v1/kv/carbonio-files/db-name", b"somebody else's")
    code, workspace = site.run("review")
    assert code == 5
    assert "**Refused.**" in (workspace / "plan.md").read_text("utf-8")
    assert "plan.md" in site.noted.read_text("utf-8"), "it is written as a comment all the same"
    assert site.run("plan")[0] == 5


def test_a_plan_that_cannot_be_made_fails_without_a_comment(site):
    site.environment["CONSUL_HTTP_ADDR"] = "127.0.0.1:1"
    assert site.run("review")[0] == 1
    assert not site.noted.exists() or "plan.md" not in site.noted.read_text("utf-8")
    assert site.run("plan")[0] == 1
    assert site.run("drift")[0] == 1


@pytest.mark.parametrize(("comment", "how"), [("", "POST"), ("4711", "P(ATCH|UT)")], ids=["the first", "one more"])
def test_the_comment_is_written_once_and_then_replaced(site, comment, how):
    site.environment["COMMENT"] = comment
    assert site.run("review")[0] == 0
    last = site.noted.read_text("utf-8").split("----\n")[-2]
    assert re.search(rf"^{how}$", last, re.MULTILINE)
    assert ("4711" in last) == bool(comment)
    assert "body=@plan.md" in last or "body@plan.md" in last
    assert "glpat-comment" not in last, "a token is in no list of processes"


@pytest.mark.parametrize("site", [GitHub], indirect=True)
def test_on_github_every_job_has_its_summary(site):
    _, planned = site.run("plan")
    assert site.outputs["code"] == "2"
    assert "<!-- reconciler plan " in (planned / "summary.md").read_text("utf-8")
    _, applied = site.run("apply", given=planned)
    assert "**Apply complete: 12 added, " in (applied / "summary.md").read_text("utf-8")
    site.run("plan")
    assert site.outputs["code"] == "0", "nothing to do, so there is nothing to approve"

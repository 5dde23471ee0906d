"""Writes plans and outcomes in the format that was asked for."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reconciler.cli.options import Output
from reconciler.cli.streams import emit, emit_in_any_case, is_terminal, paint_for, say_painted, warn
from reconciler.model.change import Plan
from reconciler.model.errors import Incomplete, ReconcilerError
from reconciler.model.outcome import Outcome

if TYPE_CHECKING:
    from reconciler.cli.event_stream import EventStream
    from reconciler.engine.operations import Progress

Operation = Literal["plan", "apply", "destroy", "drift"]


class Report:
    """The report of one run: as text each part when it is known, as JSON or Markdown one document at its end.

    An apply writes JSON as a stream of events instead. A job on GitHub gets the Markdown into its summary, whatever the format.
    """

    def __init__(self, operation: Operation, output: Output, *, destroy: bool = False) -> None:
        self._operation: Operation = operation
        self._destroy = destroy or operation == "destroy"
        self._output = output
        self._shown: Plan | None = None
        self._stream = _stream(operation, output)

    def begin(self, name: str) -> None:
        """The run of the manifest called ``name`` begins."""
        if self._stream is not None:
            self._stream.begin(name)

    def show(self, plan: Plan) -> None:
        """The plan, before it is asked about or applied."""
        self._shown = plan
        for warning in plan.warnings:
            warn(warning)
        self._store(plan, None)
        if self._output.format == "text":
            emit(self._plan_text(plan, sys.stdout))
        elif self._stream is not None:
            self._stream.planned(plan)

    def show_for_approval(self, plan: Plan) -> None:
        """The plan for the person who is asked: where the format is for programs, as text on standard error."""
        self.show(plan)
        if self._output.format != "text":
            say_painted(self._plan_text(plan, sys.stderr).rstrip("\n"))

    def follow(self, progress: Progress) -> None:
        """One change has reached a stage."""
        if self._stream is not None:
            self._stream.changed(progress.change, progress.stage, progress.why, progress.seconds)

    def finish(self, plan: Plan, outcome: Outcome | None = None, *, exit_code: int = 0, error: str = "") -> None:
        """The end of the run: the plan unless it was shown already, and what became of it."""
        if self._shown is None:
            self.show(plan)
        if outcome is not None:
            self._store(plan, outcome)
        try:
            self._write_end(plan, outcome, exit_code, error)
        finally:
            self._summarise(plan, outcome)

    def finish_broken(self, outcome: Outcome, error: str) -> None:
        """What is known of a run that broke off, because of ``error``, after its plan was shown."""
        if self._shown is not None:
            self.finish(self._shown, outcome, exit_code=Incomplete.exit_code, error=error)

    def give_up(self, exit_code: int, error: str) -> None:
        """The run ended before anything was tried; the error itself is said elsewhere."""
        if self._stream is not None:
            self._stream.end(exit_code, self._shown, error=error)

    def _write_end(self, plan: Plan, outcome: Outcome | None, exit_code: int, error: str) -> None:
        write = emit if outcome is None else emit_in_any_case
        if self._stream is not None:
            self._stream.end(exit_code, plan, outcome, error)
        elif self._output.format == "json":
            write(_json(plan, self._operation, outcome))
        elif self._output.format == "markdown":
            write(self._markdown(plan, outcome))
        elif outcome is not None:
            from reconciler.report.outcome import outcome_text

            write("\n" + outcome_text(outcome, paint_for(self._output.color, sys.stdout)))

    def _summarise(self, plan: Plan, outcome: Outcome | None) -> None:
        """Append the Markdown to the summary of the job, where there is one."""
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if not path:
            return
        try:
            with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as summary:
                summary.write(self._markdown(plan, outcome) + "\n")
        except (OSError, ValueError) as error:
            warn(f"GITHUB_STEP_SUMMARY {path}: {getattr(error, 'strerror', None) or error}")

    def _markdown(self, plan: Plan, outcome: Outcome | None) -> str:
        from reconciler.report.markdown import plan_markdown

        return plan_markdown(plan, self._operation, outcome, destroy=self._destroy)

    def _plan_text(self, plan: Plan, stream: Any) -> str:
        from reconciler.report.text import drift_text, plan_text

        paint = paint_for(self._output.color, stream)
        return drift_text(plan, paint) if self._operation == "drift" else plan_text(plan, paint, destroy=self._destroy, apart=is_terminal(stream))

    def _store(self, plan: Plan, outcome: Outcome | None) -> None:
        if self._output.json_into is None:
            return
        try:
            write_privately(self._output.json_into, _json(plan, self._operation, outcome))
        except OSError as error:
            failure = ReconcilerError(f"--json-into {self._output.json_into}: {error.strerror}")
            if outcome is None:
                raise failure from None
            # It is done: that its report could not be stored must not hide what became of it.
            warn(str(failure))


def write_privately(path: Path, text: str) -> None:
    """Put ``text`` into a file that only its owner may read, whole or not at all. Raises OSError.

    What is no regular file, such as /dev/stdout or a pipe, is written to instead of being replaced.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        with target.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _json(plan: Plan, operation: Operation, outcome: Outcome | None) -> str:
    from reconciler.report.json import dumps, plan_document

    return dumps(plan_document(plan, operation, outcome))


def _stream(operation: Operation, output: Output) -> EventStream | None:
    if output.format != "json" or operation not in ("apply", "destroy"):
        return None
    from reconciler.cli.event_stream import EventStream

    return EventStream(operation)

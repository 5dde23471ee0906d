"""The two ways to new credentials, step by step, each of which may be the last of a run: the next one goes on.

``whole`` is what the documents do: another CA, another gossip key, another token, made by service-discover, while the mesh is down. ``acl-only``
makes another token alone, around which the archive is written anew; the mesh stays up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from reconciler.credentials import bootstrap as making
from reconciler.credentials.opening import open_archive, within
from reconciler.credentials.regeneration import journal as journals
from reconciler.credentials.regeneration.journal import Journal, Step, Way
from reconciler.credentials.regeneration.leadership import demand_leader
from reconciler.credentials.regeneration.old_tokens import proved
from reconciler.credentials.regeneration.place import Place, search_path
from reconciler.model.errors import Incomplete, ReconcilerError, SystemFault
from reconciler.model.secret import Secret
from reconciler.systems.consul.acl_bootstrap import reset_index
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.consul.leader import leader
from reconciler.systems.dialogue import Question, converse
from reconciler.systems.host import LocalHost

STEPS: Final[dict[Way, tuple[Step, ...]]] = {"whole": ("stop", "reset", "remove", "set-up", "prove"), "acl-only": ("bootstrap", "prove")}

SET_UP: Final = ("service-discover", "setup-wizard", "--first-instance")
"""The wizard, because ``service-discover setup`` takes a password from its arguments only, and without one uses an empty one."""

_STOP_S: Final = 180.0
_TO_ASK_S: Final = 60.0
_TO_SET_UP_S: Final = 600.0
_TO_LEAD_S: Final = 90.0

_NOTES_ITS_END: Final = r"""
"$@"; status=$?
rm -f -- "$0.new"; set -C  # the folder may be the service's own: nothing in it is followed
echo "$status" >"$0.new" && mv -fT -- "$0.new" "$0"
exit "$status"
"""
"""For a shell that outlives this process: how set-up ended, even if nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class Regeneration:
    """What is to be made. ``materials`` reads the parts of the archive that stay (``acl-only``); ``tell`` is told what is being done."""

    way: Way
    archive: Path
    place: Place
    settings: ConsulSettings
    password: Secret
    materials: Callable[[], making.Materials]
    tell: Callable[[str], None]

    def run(self, journal: Journal, held: int, *, resumed: bool) -> tuple[dict[str, Any], Secret]:
        """Do what is left to do; the new token as Consul has it, and its secret. The journal stays.

        ``resumed``: the journal is that of an interrupted run. ``held`` says that a run is at work, for set-up to inherit. Raises Incomplete when
        set-up failed, or whatever went wrong.
        """
        journal = self._resumed(journal) if resumed else journals.noted(self.archive, journal)
        try:
            for number, step in enumerate(STEPS[self.way], 1):
                if step not in journal.done:
                    self.tell(f"step {number} of {len(STEPS[self.way])}: {_DOING[step].format(place=self.place)}")
                    journal = self._done(step, journal, held)
        except BaseException:
            # Consul may be running. Once it is stopped the file stays: the next run could not ask for its number.
            if "stop" not in journal.done:
                self._disarm()
            raise
        return self._prove()

    def _done(self, step: Step, journal: Journal, held: int) -> Journal:
        if step == "stop":
            # asked before, and written after: while the file is there whoever reaches Consul may use it
            journal = replace(journal, index=journal.index if "reset" in journal.done else self._reset_index())
            self._systemctl("stop")
        elif step == "reset":
            self._write_reset_file(journal.index)
        elif step == "set-up":
            LocalHost().remove(str(self._status_file))
            journal = journals.noted(self.archive, journal, "set-up begun")
            self._set_up(journal, held)
        else:
            acts: dict[Step, Callable[[], object]] = {"remove": self._remove, "bootstrap": self._bootstrap, "prove": self._prove}
            acts[step]()
        return journals.noted(self.archive, journal, step)

    @property
    def _status_file(self) -> Path:
        return self.archive.with_name(f"{self.archive.name}.set-up-status")

    def ended(self) -> None:
        """Nothing is to be gone on with."""
        for path in (self._status_file, making.pending(self.archive)):
            LocalHost().remove(str(path))
        journals.ended(self.archive)

    # --- what an interrupted run has left ---

    def _resumed(self, journal: Journal) -> Journal:
        if self.way == "acl-only":
            return self._resumed_acl(journal)
        if "set-up" not in journal.done:
            journal = self._resumed_whole(journal)
        if "set-up" in journal.done and not self._archive_is_accepted():
            raise self._another_archive()
        return journal

    def _resumed_whole(self, journal: Journal) -> Journal:
        with suppress(OSError):
            if "set-up begun" in journal.done and self._status_file.read_text().strip() == "0":
                return journals.noted(self.archive, journal, "set-up")
        if not self._has_leader():
            if self.place.reset_file.exists():
                # not used up: what comes after it is simply done again
                return journals.rewritten(self.archive, journal, ("reset",))
            self.tell(f"starting {self.place.unit}, because Consul must say its reset index anew")
            self._systemctl("start")
            self._wait_for_leader()
        self._demand_same(journal)
        return journals.rewritten(self.archive, journal, ())

    def _resumed_acl(self, journal: Journal) -> Journal:
        is_made = "bootstrap" in journal.done
        if (is_made or journals.digest(self.archive) != journal.archive_before) and self._archive_is_accepted():
            return journal if is_made else journals.noted(self.archive, journal, "bootstrap")
        if not self._token_that_waits_is_accepted():
            if is_made:
                raise self._another_archive()
            self._demand_same(journal)
        return journals.rewritten(self.archive, journal, ())

    def _archive_is_accepted(self) -> bool:
        """Whether Consul knows the token in the archive, which then is the one that the interrupted run has made."""
        try:
            secret = within(self.archive, open_archive(self.archive, self.password))
        except ReconcilerError as error:
            if making.pending(self.archive).exists():
                return False  # somebody else's, which kept ours from its place
            given_up = f"if the archive of the interrupted run is gone, remove {journals.path_of(self.archive)}, and another is made"
            raise ReconcilerError(f"{error}, that of the interrupted run; {given_up}") from None
        return making.accepted(self.settings, secret) is not None

    def _another_archive(self) -> ReconcilerError:
        what = f"Consul does not know the token in {self.archive}, so this is not the archive that the interrupted run has made"
        return ReconcilerError(f"{what}: put that one back, or remove {journals.path_of(self.archive)}, and another is made")

    def _token_that_waits_is_accepted(self) -> bool:
        waiting = making.pending(self.archive)
        if not waiting.exists():
            return False
        try:
            secret = within(waiting, open_archive(waiting, self.password))
        except ReconcilerError as error:
            raise ReconcilerError(f"{error}, that of the interrupted run; or remove this file, and another token is made") from None
        return making.accepted(self.settings, secret) is not None

    def _demand_same(self, journal: Journal) -> None:
        cluster = demand_leader(self.settings, self.place)
        if cluster.trust_domain != journal.trust_domain:
            path = journals.path_of(self.archive)
            raise ReconcilerError(f"the interrupted run was on another cluster, {journal.trust_domain}: remove {path} if it is of no use any more")

    def _has_leader(self) -> bool:
        with Consul(making.with_token(self.settings, None)) as consul, suppress(SystemFault):
            leader(consul)
            return True
        return False

    def _wait_for_leader(self) -> None:
        deadline = time.monotonic() + _TO_LEAD_S
        while not self._has_leader():
            if time.monotonic() > deadline:
                unit = self.place.unit
                raise ReconcilerError(f"Consul has no leader {_TO_LEAD_S:g} s after {unit} was started: see journalctl -u {unit}")
            time.sleep(0.5)

    # --- the steps ---

    def _reset_index(self) -> int:
        with Consul(making.with_token(self.settings, None)) as consul:
            return reset_index(consul)

    def _write_reset_file(self, index: int) -> None:
        place = self.place
        LocalHost().write(str(place.reset_file), b"%d\n" % index, owner=place.user, group=place.group(), mode="0600")

    def _disarm(self) -> None:
        LocalHost().remove(str(self.place.reset_file))

    def _systemctl(self, verb: str) -> None:
        LocalHost().run('systemctl "$1" "$2"', verb, self.place.unit, timeout_s=_STOP_S)

    def _remove(self) -> None:
        for path in (*self.place.certificates(), self.place.bind, self.place.main):
            LocalHost().remove(str(path))

    def _set_up(self, journal: Journal, held: int) -> None:
        answers = [Question("address", journal.leader), Question("password", self.password), Question("password", self.password)]
        environ = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ} | {"PATH": search_path(), "TERM": "dumb"}
        argv = ("sh", "-c", _NOTES_ITS_END, str(self._status_file), *SET_UP)
        said = converse(argv, answers, environ, held=held, to_ask_s=_TO_ASK_S, to_end_s=_TO_SET_UP_S)
        if said.status != 0:
            why = said.text.splitlines()[-1] if said.text else "it said nothing"
            raise Incomplete(f"{' '.join(SET_UP)} ended with status {said.status}: {why}")

    def _bootstrap(self) -> None:
        seen = LocalHost().read([str(self.archive)]).get(str(self.archive))
        making.bootstrap(self.settings, self.materials(), self.archive, self.password, self.tell, seen=seen, allowed=self._allowed)

    @contextmanager
    def _allowed(self) -> Iterator[None]:
        try:
            self._write_reset_file(self._reset_index())
            yield
        finally:
            self._disarm()

    def _prove(self) -> tuple[dict[str, Any], Secret]:
        secret = within(self.archive, open_archive(self.archive, self.password))
        return proved(replace(self.settings, token=None, token_from=""), secret), secret


_DOING: Final[dict[Step, str]] = {
    "reset": "writing the reset index to {place.reset_file}",
    "stop": "stopping {place.unit}: the mesh is down from now on",
    "remove": "removing the old configuration and certificates",
    "set-up": f"running {' '.join(SET_UP)}, which takes a minute or so",
    "bootstrap": "making the new token, for which {place.reset_file} is there for a moment, and writing the archive",
    "prove": "opening the new archive, and showing its token to Consul",
}

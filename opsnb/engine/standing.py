"""Where a change stands, and what that means to people: it is done, undone, unknown.

Nothing here asks or does anything: it is said from what the change has found out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from opsnb.core.events import Outcome, Report
from opsnb.core.marks import Watch
from opsnb.core.release import Site, State
from opsnb.core.text import safe
from opsnb.engine.telling import Telling
from opsnb.errors import Interrupted, NotRestored, OpsnbError, Restored


class Standing(Telling):
    """What is known of what a change has done, and how it is told.

    Attributes:
        verb: What kind of change.
        called: What people are told that it is.
        site: What was seen of it last, under the lock.
        previous: What was live before.
        live: What is live, as far as is known.
        revision: What that release's source was; empty when not known.
        switched: Whether the switch happened; None while that is not known.
        outcome: How it ends if nothing goes wrong from here.
        files: Files sent.
        size: Bytes of content sent.
        removed: Releases pruned, with the reason for each.
        armed: The mark of the watchdog of its switch; None when it has none.
        disarmed: Whether that was called off.
        until: When what it placed ends by itself; empty when it does not.
    """

    verb: str
    called: str
    site: Site | None
    previous: str
    live: str
    revision: str
    switched: bool | None
    outcome: Outcome
    files: int
    size: int
    removed: Mapping[str, str]
    armed: Watch | None
    disarmed: bool
    until: str
    _ended: bool
    _done: bytes | None
    _tail: bytes | None
    _began: float

    @property
    def put_back(self) -> bool:
        """Whether the switch happened, and what was live before it is live again."""
        return bool(self.switched and self.previous and self.live == self.previous)

    @property
    def removed_facts(self) -> dict[str, object]:
        """What the log is told of releases that are gone, where any is."""
        return {"removed": dict(self.removed)} if self.removed else {}

    def _called_off(self) -> None:
        self.disarmed = True

    def seen_disarmed(self) -> None:
        """A look has found no mark of its watchdog: it was called off, and perhaps all was done."""
        self.disarmed = True
        self._ended = self.site is not None and self.all_written(self.site)

    def all_written(self, site: Site) -> bool:
        """Whether the end of the change was written down, by a look.

        Its own last word stands in the log; or its intent is settled and its release is good.
        """
        found = site.find(self.release)
        good = found is not None and found.record is not None and found.record.state is State.GOOD
        said = self._done is not None and site.audit_tail == self._done
        return said or bool(self.switched and site.intent is None and good)

    def was_last_word(self) -> None:
        """What was written to the log last is written when everything else is done."""
        self._done = self._tail

    def all_done(self) -> None:
        """Once the steps so far are done, all is: there is nothing more to interrupt."""
        self._then(self._is_done)

    def _is_done(self) -> None:
        self._ended = True

    def report(self, error: OpsnbError | None) -> Report:
        """What became of the change."""
        return Report(
            verb=self.called,
            server=self.actor.server,
            outcome=self.ended(error),
            release=self.release,
            previous=self.previous,
            live="" if self.switched is None else self.live,
            switched=self.switched,
            seconds=time.monotonic() - self._began,
            phases=tuple(self._phases),
            files=self.files,
            bytes=self.size,
            removed=tuple(self.removed.items()),
            warnings=tuple(self.warnings),
            error=error.message if error else "",
            hint=error.hint if error else "",
            exit_status=error.exit_status if error else 0,
            revision=safe(self.revision),
            typed=self.actor.typed,
            until=self.until,
        )

    def ended(self, error: OpsnbError | None) -> Outcome:
        """How it has ended, as far as is known."""
        if error is None:
            return self.outcome
        by_status = {21: Outcome.RESTORED, 22: Outcome.NOT_RESTORED, 23: Outcome.UNKNOWN}
        if error.exit_status in by_status:
            return by_status[error.exit_status]
        if self.put_back:
            return Outcome.RESTORED
        if self.switched is None:
            return Outcome.UNKNOWN
        return Outcome.NOT_RESTORED if self.switched else Outcome.NOT_DONE

    def stopped(self) -> Interrupted:
        """What an interrupt means for the site."""
        if self.put_back:
            return Interrupted(
                f"interrupted after {safe(self.live)} was put back",
                f"{safe(self.release)} failed after the switch; it stays for you to look at.",
            )
        if self.switched and self._ended:
            return Interrupted(
                f"interrupted when all was done: {safe(self.release)} was made live",
                f"{safe(self.live)} is live. `opsnb log {self.actor.typed}` says what was done.",
            )
        if self.switched:
            return Interrupted(
                f"interrupted after the switch: {safe(self.live)} is live, unconfirmed",
                f"{self._left_to_itself}`opsnb rollback {self.actor.typed}` goes back to "
                f"{safe(self.previous)}.",
            )
        return Interrupted("interrupted before the switch: the live release is untouched")

    def after_the_switch(self, error: OpsnbError) -> OpsnbError:
        """What an error means for the site once another release was made live."""
        if self.armed and self.put_back:
            return Restored(
                f"after the switch: {error.message}", f"{safe(self.live)} is live again."
            )
        if self._ended:
            return NotRestored(
                f"when all was done: {error.message}",
                f"{safe(self.release)} was made live, and that was written down; "
                f"{safe(self.live)} is live.",
            )
        return NotRestored(
            f"after the switch: {error.message}",
            f"{safe(self.live)} is live, unconfirmed. {self._left_to_itself}Look at it; `opsnb "
            f"rollback {self.actor.typed}` goes back.",
        )

    @property
    def _left_to_itself(self) -> str:
        """What becomes of an unconfirmed release by itself."""
        if self.armed is None or self.disarmed:
            return ""
        before, seconds = safe(self.armed.previous), self.armed.seconds
        return f"The watchdog puts {before} back {seconds} s after the switch. "

"""What the console can do, without a widget.

Rule 1: a wish ends in an answer: what was done, or what went wrong and what to do next.
Rule 2: a change needs an unlocked console, a plan that is still true where there is one to make,
        and the confirmation that the environment asks for. All three are checked here.
Rule 3: an answer for a server that is no longer picked is dropped; what went wrong there is told
        under its name, if it was asked for.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opsnb.core import audit
from opsnb.core.manifest import Difference, compare
from opsnb.core.plan import Plan
from opsnb.core.release import Site
from opsnb.core.text import safe
from opsnb.errors import ConfigError, NoSuchRelease, OpsnbError, StalePlan
from opsnb.job import Job
from opsnb.notebook.console import pictures
from opsnb.notebook.console.code import PLAN, call
from opsnb.notebook.console.pictures import Picture
from opsnb.project import Project
from opsnb.server import DeployPlan, Server

Wish = Mapping[str, Any]
HISTORY = 100
# What happens by itself takes no message away.
QUIET = ("glance", "settle")


@dataclass(frozen=True, eq=False)
class Visit:
    """A server that was picked, until another one is, or it is picked anew.

    Attributes:
        server: The server.
    """

    server: Server


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan on the desk.

    Attributes:
        made: The plan, as the server made it.
        plan: What it will do.
    """

    made: DeployPlan | Plan
    plan: Plan


class Desk:
    """Carries out what is asked, one picture after the other.

    Args:
        project: The project.
        server: The name of the server to begin with.
        show: Is given a part's name (``place``, ``site``, ``plan``, ``said``, ``ran``, ``audit``,
            ``diff``) and its picture, from whatever thread.
        follow: Is given every change that begins, to follow it.
    """

    def __init__(
        self,
        project: Project,
        server: str,
        show: Callable[[str, Any], None],
        follow: Callable[[Job], None],
    ) -> None:
        self.project = project
        self.visit = Visit(project.server(server))
        self.unlocked = False
        self.proposal: Proposal | None = None
        self._show, self._follow = show, follow
        self._guard = threading.Lock()
        self._shown: object = None
        self._ran: list[str] = []
        self._arrivals: dict[str, Callable[[Wish], str]] = {
            "begin": self._first,
            "pick": self._picked,
        }
        self._wishes: dict[str, Callable[[Wish, Visit], None]] = {
            "refresh": self._refresh,
            "glance": self._glance,
            "settle": self._settle,
            "lock": self._lock,
            "unlock": self._unlock,
            "plan": self._plan,
            "plan rollback": self._plan_rollback,
            "plan prune": self._plan_prune,
            "drop plan": self._drop_plan,
            "apply": self._apply,
            "pin": self._pin,
            "unpin": self._unpin,
            "hold": self._hold,
            "unhold": self._unhold,
            "freeze": self._freeze,
            "unfreeze": self._unfreeze,
            "adopt": self._adopt,
            "audit": self._audit,
            "diff": self._diff,
        }

    @property
    def server(self) -> Server:
        """The server that is picked."""
        return self.visit.server

    def do(self, wish: Wish) -> None:
        """Carry out a wish for the server that is picked now; whatever goes wrong is shown.

        Args:
            wish: What is asked for, under ``do``, with what belongs to it.
        """
        asked, visit = str(wish.get("do")), self.visit
        try:
            if asked not in QUIET:
                self._show("said", None)
            if named := self._arrivals.get(asked):
                visit = self._arrive(named(wish))
                self._look(visit)
            elif act := self._wishes.get(asked):
                act(wish, visit)
            else:
                raise ConfigError(f"the console cannot do {safe(asked)!r}")
        except OpsnbError as error:
            self._failed(asked, visit, error.message, error.hint)
        except Exception as error:  # noqa: BLE001 - the last border before a silent click
            said = f"a bug in opsnb: {type(error).__name__}: {error}"
            self._failed(asked, visit, said, "Nothing more was done.", traceback.format_exc())

    # --- what is shown -------------------------------------------------------------------------

    def _say(self, kind: str, text: str, hint: str = "", trace: str = "") -> None:
        said = {"kind": kind, "text": safe(text), "hint": safe(hint), "trace": trace}
        self._show("said", {**said, "clock": f"{_now():%H:%M:%S} UTC"})

    def _failed(self, asked: str, visit: Visit, text: str, hint: str, trace: str = "") -> None:
        """Say what went wrong, and of which server if another one is shown by now."""
        with self._guard:
            if visit is self.visit:
                self._say("error", text, hint, trace)
            elif asked not in QUIET:
                self._say("error", f"{visit.server.name}: {text}", hint, trace)

    def _ran_line(self, line: str) -> None:
        self._ran = [*self._ran, line][-HISTORY:]
        self._show("ran", self._ran)

    def _show_place(self) -> None:
        self._show("place", pictures.place(self.project, self.server, unlocked=self.unlocked))

    def _show_plan(self, picture: Picture | None) -> None:
        self._show("plan", picture)

    def _answer(self, visit: Visit, part: str, picture: Any) -> None:
        """Show what was asked of a server, if that is still picked."""
        with self._guard:
            if visit is self.visit:
                self._show(part, picture)

    # --- looking -------------------------------------------------------------------------------

    def _arrive(self, name: str) -> Visit:
        """Pick a server; a change that runs there is followed."""
        visit = Visit(self.project.server(name))
        with self._guard:
            self.visit = visit
            self.unlocked = False
            self.proposal = None
            for part in ("site", "audit", "diff", "plan"):
                self._show(part, None)
            self._show_place()
            running = [job for job in visit.server.jobs if not job.done]
            if running:
                self._follow(running[-1])
        self._ran_line(f"server = project.server({name!r})")
        return visit

    def _first(self, wish: Wish) -> str:
        del wish
        return self.server.name

    def _picked(self, wish: Wish) -> str:
        name = str(wish.get("server", ""))
        environment = wish.get("environment")
        if environment is not None and not name:
            tables = self.project.config.servers.items()
            name = next((n for n, table in tables if table.environment == environment), "")
        if name not in self.project.config.servers:
            raise ConfigError(f"no server is called {safe(name)!r}")
        return name

    def _refresh(self, wish: Wish, visit: Visit) -> None:
        del wish
        self._ran_line(call("releases"))
        self._look(visit)

    def _glance(self, wish: Wish, visit: Visit) -> None:
        """Look without a word, and show everything anew only when something has changed."""
        del wish
        site = visit.server.look()
        if visit is self.visit and _gist(site) == self._shown:
            now = _now()
            self._answer(visit, "glance", {"at": now.timestamp(), "clock": f"{now:%H:%M:%S} UTC"})
        else:
            self._measure(visit, site)

    def _settle(self, wish: Wish, visit: Visit) -> None:
        """Look anew after a change."""
        del wish
        self._look(visit)

    def _look(self, visit: Visit) -> None:
        self._measure(visit, visit.server.look())

    def _measure(self, visit: Visit, site: Site) -> None:
        """Show what a look told, and then what takes longer to know."""
        server, now = visit.server, _now()
        with self._guard:
            if visit is not self.visit:
                return
            self._outdate(site)
            self._shown = _gist(site)
        held = server.held_back()
        self._answer(visit, "site", pictures.site(site, server.settings, now, held=held))
        (_, used), drift = server.measure(), server.drift(site)
        picture = pictures.site(site, server.settings, now, used, drift, held)
        self._answer(visit, "site", picture)

    def _outdate(self, site: Site) -> None:
        """Take away a plan that is no longer true."""
        proposal = self.proposal
        if proposal is not None and proposal.plan.state_id != site.state_id:
            self.proposal = None
            self._show_plan(None)
            self._say("warning", "the server has changed since the plan was made", "Plan again.")

    def _audit(self, wish: Wish, visit: Visit) -> None:
        del wish
        self._ran_line(call("log"))
        log = visit.server.audit_log()
        self._answer(visit, "audit", pictures.audit(audit.read(log), len(audit.verify(log))))

    def _diff(self, wish: Wish, visit: Visit) -> None:
        old, new = (self._name(visit, wish.get(which)) for which in ("old", "new"))
        self._ran_line(call("diff", old, new))
        found = compare(*visit.server.manifests(old, new))
        self._answer(visit, "diff", pictures.diff(old, new, found))

    def _name(self, visit: Visit, shown: object) -> str:
        """The release whose name was shown so: a shown name has its odd characters escaped."""
        for release in visit.server.look().releases:
            if safe(release.name) == shown:
                return release.name
        raise NoSuchRelease(f"no release is called {safe(str(shown))}", "Refresh, and look again.")

    # --- gates ---------------------------------------------------------------------------------

    def _lock(self, wish: Wish, visit: Visit) -> None:
        del wish
        self._set_lock(visit, unlocked=False)
        self._say("done", "read-only: nothing can be changed from here")

    def _unlock(self, wish: Wish, visit: Visit) -> None:
        del wish
        visit.server.writable()
        self._set_lock(visit, unlocked=True)
        self._say("done", f"unlocked: changes to {safe(visit.server.name)} are possible")

    def _set_lock(self, visit: Visit, *, unlocked: bool) -> None:
        with self._guard:
            self._still(visit)
            self.unlocked = unlocked
            self._show_place()

    def _still(self, visit: Visit) -> None:
        """Go on only for the server that is picked.

        Raises:
            ConfigError: Another one was picked meanwhile.
        """
        if visit is not self.visit:
            raise ConfigError("another server was picked meanwhile: nothing was changed")

    def _allowed(self, wish: Wish, visit: Visit) -> None:
        """Whether a change may begin.

        Raises:
            ConfigError: The console is read-only, what the environment asks for is missing, or
                another server was picked meanwhile.
        """
        server = visit.server
        self._still(visit)
        server.writable()
        if not self.unlocked:
            raise ConfigError("the console is read-only", "Press Unlock first.")
        if any(not job.done for job in server.jobs):
            raise ConfigError("a change is still running here", "Wait for it, or abort it.")
        confirm = server.environment.confirm
        if confirm == "type-name" and wish.get("typed") != server.name:
            raise ConfigError(
                f"{safe(server.name)} was not confirmed: nothing was changed",
                "Type the server's name beside the button.",
            )
        if confirm == "click" and wish.get("sure") is not True:
            raise ConfigError("not confirmed: nothing was changed", "Press the button twice.")

    # --- plans ---------------------------------------------------------------------------------

    def _propose(
        self, visit: Visit, made: DeployPlan | Plan, differs: Difference | None = None
    ) -> None:
        plan = made.plan if isinstance(made, DeployPlan) else made
        refused = visit.server.refused(plan.verb)
        picture = pictures.plan(plan, visit.server.name, differs, refused)
        with self._guard:
            if visit is not self.visit:
                return
            self.proposal = None if plan.nothing else Proposal(made, plan)
            self._show_plan(picture)

    def _drop_plan(self, wish: Wish, visit: Visit) -> None:
        del wish
        with self._guard:
            if visit is self.visit:
                self.proposal = None
                self._show_plan(None)

    def _plan(self, wish: Wish, visit: Visit) -> None:
        self._drop_plan(wish, visit)
        source, revision = str(wish.get("source", "")), str(wish.get("revision", ""))
        force = wish.get("force") is True
        named = [source] if source else []
        self._ran_line(call("plan", *named, revision=revision, force=force, to="plan"))
        self._propose(visit, visit.server.plan(source, revision=revision, force=force))

    def _plan_rollback(self, wish: Wish, visit: Visit) -> None:
        self._drop_plan(wish, visit)
        to, why = wish.get("to") or "", str(wish.get("why", ""))
        name = self._name(visit, to) if to else ""
        self._ran_line(call("plan_rollback", *([name] if name else []), why=why, to="plan"))
        plan = visit.server.plan_rollback(name, why)
        self._propose(visit, plan, _between(visit.server, plan))

    def _plan_prune(self, wish: Wish, visit: Visit) -> None:
        self._drop_plan(wish, visit)
        keep = wish.get("keep")
        if keep is not None and not (isinstance(keep, int) and keep > 0):
            raise ConfigError("keep must be a whole number of at least 1: the live release stays")
        self._ran_line(call("plan_prune", keep=keep, to="plan"))
        self._propose(visit, visit.server.plan_prune(keep))

    # --- changes -------------------------------------------------------------------------------

    def _apply(self, wish: Wish, visit: Visit) -> None:
        with self._guard:
            proposal = self.proposal
            if proposal is None:
                raise StalePlan("there is no plan that is still true", "Plan first.")
            self._allowed(wish, visit)
            made, verb, server = proposal.made, proposal.plan.verb, visit.server
            server.permitted(verb)
            # What is applied is what was shown: a plan is used once.
            self.proposal = None
            self._show_plan(None)
            if isinstance(made, DeployPlan):
                job = server.deploy(made)
            elif verb == "rollback":
                job = server.rollback(made)
            else:
                job = server.prune(made)
            self._ran_line(call(str(verb), PLAN, wait=True))
            self._follow(job)

    def _start(self, wish: Wish, visit: Visit, verb: str, *said: Any, **more: Any) -> None:
        """Begin a change where it is allowed, and where nobody picks another server meanwhile.

        Args:
            wish: What is asked for.
            visit: What it was asked of.
            verb: The method of the server that begins it.
            said: What the method is given.
            more: The same by name.
        """
        with self._guard:
            self._allowed(wish, visit)
            job: Job = getattr(visit.server, verb)(*said, **more)
            self._ran_line(call(verb, *said, **more, wait=True))
            self._follow(job)

    def _pin(self, wish: Wish, visit: Visit) -> None:
        self._allowed(wish, visit)
        self._start(wish, visit, "pin", self._name(visit, wish.get("name")))

    def _unpin(self, wish: Wish, visit: Visit) -> None:
        self._allowed(wish, visit)
        self._start(wish, visit, "unpin", self._name(visit, wish.get("name")))

    def _hold(self, wish: Wish, visit: Visit) -> None:
        self._start(wish, visit, "hold", _reason(wish, "hold"))

    def _unhold(self, wish: Wish, visit: Visit) -> None:
        self._start(wish, visit, "unhold", force=wish.get("force") is True)

    def _freeze(self, wish: Wish, visit: Visit) -> None:
        until = str(wish.get("until", "")).strip()
        self._start(wish, visit, "freeze", _reason(wish, "freeze"), until=until)

    def _unfreeze(self, wish: Wish, visit: Visit) -> None:
        self._start(wish, visit, "unfreeze", force=wish.get("force") is True)

    def _adopt(self, wish: Wish, visit: Visit) -> None:
        self._start(wish, visit, "adopt")


def _reason(wish: Wish, what: str) -> str:
    why = str(wish.get("why", "")).strip()
    if not why:
        raise ConfigError(f"a {what} needs a reason", "Say why, for everybody it holds back.")
    return why


def _between(server: Server, plan: Plan) -> Difference | None:
    """What visitors' files gain and lose by a rollback, where both releases have a manifest."""
    if plan.nothing or not plan.previous:
        return None
    try:
        return compare(*server.manifests(plan.previous, plan.name))
    except NoSuchRelease:
        return None


def _gist(site: Site) -> object:
    """What must not change for a shown site to be still true."""
    return (site.state_id, site.hold, site.holder, site.intent)


def _now() -> datetime:
    return datetime.now(UTC)

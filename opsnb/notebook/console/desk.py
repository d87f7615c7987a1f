"""What the console can do, without a widget.

Rule 1: a wish ends in an answer: what was done, or what went wrong and what to do next.
Rule 2: a change needs an unlocked console, a plan that is still true where there is one to make,
        and the confirmation that the environment asks for. All three are checked here.
Rule 3: an answer for a server that is no longer picked is dropped.
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
        self.server: Server = project.server(server)
        self.unlocked = False
        self.proposal: Proposal | None = None
        self._show, self._follow = show, follow
        self._guard = threading.Lock()
        self._visit = 0
        self._shown: object = None
        self._ran: list[str] = []
        self._wishes: dict[str, Callable[[Wish], None]] = {
            "begin": self._begin,
            "refresh": self._refresh,
            "glance": self._glance,
            "settle": self._settle,
            "pick": self._pick,
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

    def do(self, wish: Wish) -> None:
        """Carry out a wish; whatever goes wrong is shown.

        Args:
            wish: What is asked for, under ``do``, with what belongs to it.
        """
        try:
            act = self._wishes.get(str(wish.get("do")))
            if act is None:
                raise ConfigError(f"the console cannot do {safe(str(wish.get('do')))!r}")
            if wish.get("do") not in QUIET:
                self._show("said", None)
            act(wish)
        except OpsnbError as error:
            self._say("error", error.message, error.hint)
        except Exception as error:  # noqa: BLE001 - the last border before a silent click
            said = f"a bug in opsnb: {type(error).__name__}: {error}"
            self._say("error", said, "Nothing more was done.", traceback.format_exc())

    # --- what is shown -------------------------------------------------------------------------

    def _say(self, kind: str, text: str, hint: str = "", trace: str = "") -> None:
        said = {"kind": kind, "text": safe(text), "hint": safe(hint), "trace": trace}
        self._show("said", {**said, "clock": f"{_now():%H:%M:%S} UTC"})

    def _ran_line(self, line: str) -> None:
        self._ran = [*self._ran, line][-HISTORY:]
        self._show("ran", self._ran)

    def _show_place(self) -> None:
        self._show("place", pictures.place(self.project, self.server, unlocked=self.unlocked))

    def _show_plan(self, picture: Picture | None) -> None:
        self._show("plan", picture)

    # --- looking -------------------------------------------------------------------------------

    def _arrive(self, name: str) -> None:
        server = self.project.server(name)
        with self._guard:
            self.server = server
            self._visit += 1
            self.unlocked = False
            self.proposal = None
        for part in ("site", "audit", "diff", "plan"):
            self._show(part, None)
        self._show_place()
        self._ran_line(f"server = project.server({name!r})")
        running = [job for job in self.server.jobs if not job.done]
        if running:
            self._follow(running[-1])
        self._look()

    def _begin(self, wish: Wish) -> None:
        del wish
        self._arrive(self.server.name)

    def _pick(self, wish: Wish) -> None:
        name = str(wish.get("server", ""))
        environment = wish.get("environment")
        if environment is not None and not name:
            tables = self.project.config.servers.items()
            name = next((n for n, table in tables if table.environment == environment), "")
        if name not in self.project.config.servers:
            raise ConfigError(f"no server is called {safe(name)!r}")
        self._arrive(name)

    def _refresh(self, wish: Wish) -> None:
        del wish
        self._ran_line(call("releases"))
        self._look()

    def _glance(self, wish: Wish) -> None:
        """Look without a word, and show everything anew only when something has changed."""
        del wish
        visit = self._visit
        site = self.server.look()
        if visit == self._visit and _gist(site) == self._shown:
            now = _now()
            self._show("glance", {"at": now.timestamp(), "clock": f"{now:%H:%M:%S} UTC"})
        elif visit == self._visit:
            self._measure(visit, self.server, site)

    def _settle(self, wish: Wish) -> None:
        """Look anew after a change."""
        del wish
        self._look()

    def _look(self) -> None:
        visit, server = self._visit, self.server
        site = server.look()
        if visit == self._visit:
            self._measure(visit, server, site)

    def _measure(self, visit: int, server: Server, site: Site) -> None:
        """Show what a look told, and then what takes longer to know."""
        self._outdate(site)
        self._shown = _gist(site)
        now = _now()
        held = server.held_back()
        self._show("site", pictures.site(site, server.settings, now, held=held))
        (_, used), drift = server.measure(), server.drift(site)
        if visit == self._visit:
            self._show("site", pictures.site(site, server.settings, now, used, drift, held))

    def _outdate(self, site: Site) -> None:
        """Take away a plan that is no longer true."""
        proposal = self.proposal
        if proposal is not None and proposal.plan.state_id != site.state_id:
            self.proposal = None
            self._show_plan(None)
            self._say("warning", "the server has changed since the plan was made", "Plan again.")

    def _audit(self, wish: Wish) -> None:
        del wish
        self._ran_line(call("log"))
        log = self.server.audit_log()
        self._show("audit", pictures.audit(audit.read(log), len(audit.verify(log))))

    def _diff(self, wish: Wish) -> None:
        old, new = self._name(wish.get("old")), self._name(wish.get("new"))
        self._ran_line(call("diff", old, new))
        found = compare(*self.server.manifests(old, new))
        self._show("diff", pictures.diff(old, new, found))

    def _name(self, shown: object) -> str:
        """The release whose name was shown so: a shown name has its odd characters escaped."""
        site = self.server.look()
        for release in site.releases:
            if safe(release.name) == shown:
                return release.name
        raise NoSuchRelease(f"no release is called {safe(str(shown))}", "Refresh, and look again.")

    # --- gates ---------------------------------------------------------------------------------

    def _lock(self, wish: Wish) -> None:
        del wish
        self.unlocked = False
        self._show_place()
        self._say("done", "read-only: nothing can be changed from here")

    def _unlock(self, wish: Wish) -> None:
        del wish
        self.server.writable()
        self.unlocked = True
        self._show_place()
        self._say("done", f"unlocked: changes to {safe(self.server.name)} are possible")

    def _allowed(self, wish: Wish) -> None:
        """Whether a change may begin.

        Raises:
            ConfigError: The console is read-only, or what the environment asks for is missing.
        """
        self.server.writable()
        if not self.unlocked:
            raise ConfigError("the console is read-only", "Press Unlock first.")
        if any(not job.done for job in self.server.jobs):
            raise ConfigError("a change is still running here", "Wait for it, or abort it.")
        confirm = self.server.environment.confirm
        if confirm == "type-name" and wish.get("typed") != self.server.name:
            raise ConfigError(
                f"{safe(self.server.name)} was not confirmed: nothing was changed",
                "Type the server's name beside the button.",
            )
        if confirm == "click" and wish.get("sure") is not True:
            raise ConfigError("not confirmed: nothing was changed", "Press the button twice.")

    # --- plans ---------------------------------------------------------------------------------

    def _propose(self, made: DeployPlan | Plan, differs: Difference | None = None) -> None:
        plan = made.plan if isinstance(made, DeployPlan) else made
        refused = self.server.refused(plan.verb)
        picture = pictures.plan(plan, self.server.name, differs, refused)
        if not plan.nothing:
            self.proposal = Proposal(made, plan)
        self._show_plan(picture)

    def _drop_plan(self, wish: Wish) -> None:
        del wish
        self.proposal = None
        self._show_plan(None)

    def _plan(self, wish: Wish) -> None:
        self._drop_plan(wish)
        source, revision = str(wish.get("source", "")), str(wish.get("revision", ""))
        force = wish.get("force") is True
        named = [source] if source else []
        self._ran_line(call("plan", *named, revision=revision, force=force, to="plan"))
        self._propose(self.server.plan(source, revision=revision, force=force))

    def _plan_rollback(self, wish: Wish) -> None:
        self._drop_plan(wish)
        to, why = wish.get("to") or "", str(wish.get("why", ""))
        name = self._name(to) if to else ""
        self._ran_line(call("plan_rollback", *([name] if name else []), why=why, to="plan"))
        plan = self.server.plan_rollback(name, why)
        self._propose(plan, self._between(plan))

    def _between(self, plan: Plan) -> Difference | None:
        """What visitors' files gain and lose by a rollback, where both releases have a manifest."""
        if plan.nothing or not plan.previous:
            return None
        try:
            return compare(*self.server.manifests(plan.previous, plan.name))
        except NoSuchRelease:
            return None

    def _plan_prune(self, wish: Wish) -> None:
        self._drop_plan(wish)
        keep = wish.get("keep")
        if keep is not None and not (isinstance(keep, int) and keep > 0):
            raise ConfigError("keep must be a whole number of at least 1: the live release stays")
        self._ran_line(call("plan_prune", keep=keep, to="plan"))
        self._propose(self.server.plan_prune(keep))

    # --- changes -------------------------------------------------------------------------------

    def _apply(self, wish: Wish) -> None:
        proposal = self.proposal
        if proposal is None:
            raise StalePlan("there is no plan that is still true", "Plan first.")
        self._allowed(wish)
        made, verb = proposal.made, proposal.plan.verb
        self.server.permitted(verb)
        # What is applied is what was shown: a plan is used once.
        self._drop_plan(wish)
        if isinstance(made, DeployPlan):
            job = self.server.deploy(made)
        elif verb == "rollback":
            job = self.server.rollback(made)
        else:
            job = self.server.prune(made)
        self._began(job, call(str(verb), PLAN, wait=True))

    def _pin(self, wish: Wish) -> None:
        self._allowed(wish)
        name = self._name(wish.get("name"))
        self._began(self.server.pin(name), call("pin", name, wait=True))

    def _unpin(self, wish: Wish) -> None:
        self._allowed(wish)
        name = self._name(wish.get("name"))
        self._began(self.server.unpin(name), call("unpin", name, wait=True))

    def _hold(self, wish: Wish) -> None:
        self._allowed(wish)
        why = str(wish.get("why", "")).strip()
        if not why:
            raise ConfigError("a hold needs a reason", "Say why, for everybody it holds back.")
        self._began(self.server.hold(why), call("hold", why, wait=True))

    def _unhold(self, wish: Wish) -> None:
        self._allowed(wish)
        force = wish.get("force") is True
        self._began(self.server.unhold(force=force), call("unhold", force=force, wait=True))

    def _freeze(self, wish: Wish) -> None:
        self._allowed(wish)
        why, until = (str(wish.get(word, "")).strip() for word in ("why", "until"))
        if not why:
            raise ConfigError("a freeze needs a reason", "Say why, for everybody it holds back.")
        line = call("freeze", why, until=until, wait=True)
        self._began(self.server.freeze(why, until), line)

    def _unfreeze(self, wish: Wish) -> None:
        self._allowed(wish)
        force = wish.get("force") is True
        self._began(self.server.unfreeze(force=force), call("unfreeze", force=force, wait=True))

    def _adopt(self, wish: Wish) -> None:
        self._allowed(wish)
        self._began(self.server.adopt(), call("adopt", wait=True))

    def _began(self, job: Job, line: str) -> None:
        self._ran_line(line)
        self._follow(job)


def _gist(site: Site) -> object:
    """What must not change for a shown site to be still true."""
    return (site.state_id, site.hold, site.holder, site.intent)


def _now() -> datetime:
    return datetime.now(UTC)

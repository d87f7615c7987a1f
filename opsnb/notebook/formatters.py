"""How IPython shows opsnb's objects. Registered by name, so that registering loads nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opsnb import job as jobs
from opsnb.errors import OpsnbError
from opsnb.notebook.mode import face

if TYPE_CHECKING:
    from opsnb.job import Company, Job
    from opsnb.notebook.objects import Shown

PLAIN = {
    ("opsnb.server.changes", "Server"): "server",
    ("opsnb.server.plans", "DeployPlan"): "deploy_plan",
    ("opsnb.project", "Project"): "project",
    ("opsnb.project", "DemoProject"): "project",
    ("opsnb.notebook.console", "Still"): "still",
    ("opsnb.core.plan", "Plan"): "plan",
    ("opsnb.core.events", "Report"): "report",
}
JOB = ("opsnb.job", "Job")
CONSOLE = ("opsnb.notebook.console.panel", "Console")


def register(shell: Any) -> None:
    """Teach a shell to show projects, servers, plans, jobs and reports. Twice does no harm.

    Args:
        shell: A running IPython shell.
    """
    formatter = shell.display_formatter
    for (module, name), how in PLAIN.items():
        formatter.mimebundle_formatter.for_type_by_name(module, name, _bundle(how))
    formatter.ipython_display_formatter.for_type_by_name(*JOB, show_job)
    formatter.ipython_display_formatter.for_type_by_name(*CONSOLE, lambda panel: panel.put_out())
    if accompany not in jobs.COMPANIONS:
        jobs.COMPANIONS.append(accompany)


def _bundle(how: str) -> Callable[..., dict[str, str]]:
    def bundle(shown: object, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude
        from opsnb.notebook import objects  # noqa: PLC0415 - loaded when there is something to show

        try:
            drawn: Shown = getattr(objects, how)(shown)
        except OpsnbError as error:
            drawn = objects.trouble(error)
        return {"text/plain": drawn.text, "text/html": drawn.html}

    return bundle


def show_job(job: Job) -> None:
    """Show a change where its cell puts out.

    Args:
        job: The change.
    """
    from opsnb.notebook import following  # noqa: PLC0415 - loaded when there is something to show

    following.show(job)


def accompany(job: Job) -> Company | None:
    """Show a change to somebody who waits for it, unless it is shown already.

    Args:
        job: The change.
    """
    if face() == "text":
        return None
    from opsnb.notebook import following  # noqa: PLC0415 - loaded when there is something to show

    return following.accompany(job)

"""Plans of a rollback and of a prune, as users hold them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from opsnb.core.facts import plan_text
from opsnb.core.plan import Plan


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SitePlan(Plan):
    """A plan that says, as text, what will happen, and where.

    Attributes:
        server: The server's name.
    """

    server: str = ""

    @classmethod
    def of(cls, plan: Plan, server: str) -> SitePlan:
        """A plan, for a server.

        Args:
            plan: The plan.
            server: The server's name.
        """
        return cls(**{item.name: getattr(plan, item.name) for item in fields(plan)}, server=server)

    def __str__(self) -> str:
        return plan_text(self, self.server)

"""Plans of a deploy and of a promote, as users hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsnb.core.text import safe

if TYPE_CHECKING:
    from opsnb.core.plan import Plan, Wish
    from opsnb.engine.source import Source
    from opsnb.server.link import Link


@dataclass(frozen=True)
class DeployPlan:
    """A deploy that can be looked at and then carried out: ``server.deploy(plan)``.

    Attributes:
        server: The server's name.
        plan: Everything it will do.
        wish: What was asked for.
        source: Where its content is.
    """

    server: str
    plan: Plan
    wish: Wish
    source: Source

    @property
    def nothing(self) -> bool:
        """Whether the live release already is what was asked for."""
        return self.plan.nothing

    def __str__(self) -> str:
        from opsnb.core.facts import plan_text  # noqa: PLC0415 - import opsnb stays quick

        return plan_text(self.plan, self.server)

    def __repr__(self) -> str:
        difference = self.plan.difference
        return (
            f"<DeployPlan {self.plan.name} for {self.server}: +{len(difference.added)} "
            f"~{len(difference.changed)} -{len(difference.removed)}>"
        )


@dataclass(frozen=True, repr=False)
class PromotePlan(DeployPlan):
    """A promote that can be looked at and then carried out: ``server.promote(plan)``.

    Attributes:
        origin: The server it comes from.
        release: The release that this one runs.
    """

    origin: Link
    release: str

    def __str__(self) -> str:
        return f"promote {safe(self.release)} from {safe(self.origin.name)}\n{super().__str__()}"

"""A server, as users hold it. Questions block and answer; changes return a :class:`Job`."""

from __future__ import annotations

from opsnb.server.changes import Server
from opsnb.server.plans import DeployPlan, PromotePlan

__all__ = ["DeployPlan", "PromotePlan", "Server"]

"""The front end's files, put together: an anywidget's module is one text, and there is no build."""

from __future__ import annotations

from functools import cache

from opsnb.notebook.html import STATIC, stylesheet

# In this order: each file uses what stands above it.
PARTS = (
    "preact.js",
    "parts.js",
    "log.js",
    "job.js",
    "releases.js",
    "plan.js",
    "console.js",
    "widget.js",
)


@cache
def module() -> str:
    """The JavaScript of every view, as one module whose default export is an anywidget."""
    return "\n".join((STATIC / name).read_text("utf-8") for name in PARTS)


@cache
def styles() -> str:
    """The stylesheet of every view."""
    return stylesheet() + (STATIC / "widget.css").read_text("utf-8")

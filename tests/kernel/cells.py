"""Cells that several tests run."""

from __future__ import annotations

DEMO = """
import opsnb
demo = opsnb.demo()
web = demo.server("demo")
first = web.deploy(demo.site("v1")).wait()
"""
"""A server inside the kernel with one release."""

SLOW = """
def hooks(server, *commands):
    told = type(server.settings).model_validate({"before_publish": list(commands)})
    server.settings = server.settings.model_copy(update={"before_publish": told.before_publish})

hooks(web, "echo the hook runs; sleep 60")
"""
"""Makes `web` slow before the switch, so that there is a middle to be interrupted in."""

STARTED = "│ the hook runs"
"""What is printed when the slow hook runs."""

LOOK = """
import json
site = web.look()
print(json.dumps({
    "live": site.live.name if site.live else "",
    "held": bool(site.holder or site.hold),
    "intent": bool(site.intent),
    "releases": [release.name for release in site.releases],
}))
"""
"""Prints what is on `web`."""

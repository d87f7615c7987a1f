"""The demo's story as a person reads it: pictures of a directory before and after."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import zip_longest
from shlex import quote
from typing import TYPE_CHECKING

from rich.text import Text

from opsnb.cli import show
from opsnb.cli.grid import draw
from opsnb.core import rows
from opsnb.core.events import Log, PhaseEnded, Switched
from opsnb.core.release import State
from opsnb.core.text import age, plural, safe, size

if TYPE_CHECKING:
    from opsnb.cli.story import Done, Step
    from opsnb.core.release import Release, Site
    from opsnb.embedded.visitors import Tally
    from opsnb.project import DemoProject
    from opsnb.server import Server

LEFT = 39  # columns of the picture before
MODEL = """\
A release is a directory of its own, and visitors see the one that the link
`current` leads to. A deploy builds a new directory beside the live one, checks
it, and then moves the link: one step, which nobody can see half done.
What people upload lives in shared/, and every release links to it.
"""


def prologue(project: DemoProject) -> list[Text]:
    """What the story is about.

    Args:
        project: The demo.
    """
    address = project.server("demo").url
    return [
        Text("opsnb: atomic releases over SSH", "bold"),
        Text(),
        *(Text(line) for line in MODEL.splitlines()),
        Text(),
        Text.assemble(("server   ", "dim"), safe(address), (" (inside this process)", "dim")),
        Text.assemble(("website  ", "dim"), (project.web_url, "underline")),
    ]


def announced(number: int, step: Step) -> list[Text]:
    """What is going to happen.

    Args:
        number: Which step, from 1.
        step: The step.
    """
    return [
        Text(),
        Text.assemble((f"{number}  ", "bold cyan"), (step.title, "bold")),
        Text(f"   {step.told}"),
        Text.assemble(("   $ ", "dim"), (step.command, "cyan")),
        Text(),
    ]


def happened(done: Done) -> list[Text]:
    """What has happened.

    Args:
        done: The step.
    """
    steps = [*_pictures(done), Text(), _phases(done)]
    return [*steps, *_after_switch(done), *_result(done)]


def _pictures(done: Done) -> list[Text]:
    """The directory before and after, side by side."""
    before = [Text("before", "dim"), *_tree(done.before, done.versions)]
    after = [Text("after", "dim"), *_tree(done.after, done.versions)]
    lines = []
    for left, right in zip_longest(before, after, fillvalue=Text()):
        gap = " " * max(1, LEFT - left.cell_len)
        lines.append(Text.assemble("   ", left, gap, right))
        lines[-1].rstrip()
    return lines


def _tree(site: Site, versions: Mapping[str, str]) -> list[Text]:
    """What stands in the deployment path."""
    present = [release for release in site.releases if release.present]
    lines = [Text("├── releases/")]
    for number, release in enumerate(present, 1):
        corner = "└──" if number == len(present) else "├──"
        name = _release(release, versions.get(release.name, ""))
        lines.append(Text.assemble(f"│   {corner} ", name))
    lines.append(Text.assemble("├── shared/", (f"  {_inside(site)}", "dim")))
    target = f"releases/{safe(site.current.name)}" if site.current.name else "nothing yet"
    lines.append(Text.assemble("└── current → ", (target, "bold" if site.current.name else "dim")))
    return lines


def _release(release: Release, version: str) -> Text:
    text = Text.assemble(safe(release.name), "  ", (version, "bold"))
    if release.live:
        return text.append("  ● live", "bold green")
    return text.append("  ✕ bad", "red") if release.state is State.BAD else text


def _inside(site: Site) -> str:
    return ", ".join(safe(path) for path in sorted(site.shared))


def _phases(done: Done) -> Text:
    """The steps that went well, in their order."""
    line = Text("   ")
    for event in done.events:
        if isinstance(event, PhaseEnded):
            line.append("● ", "green").append(f"{event.phase.value} ", "dim")
    line.rstrip()
    return line


def _after_switch(done: Done) -> list[Text]:
    """What was said after the switch, when the release was put back."""
    if not done.report.error:
        return []
    numbered = list(enumerate(done.events))
    switched = next((n for n, event in numbered if isinstance(event, Switched)), len(numbered))
    logs = [event.text for event in done.events[switched:] if isinstance(event, Log)]
    return [Text(f"     {text}", "dim") for text in logs]


def _result(done: Done) -> list[Text]:
    report = done.report
    sign, style = ("✕ ", "bold red") if report.error else ("✓ ", "bold green")
    sent = f"sent {plural(report.files, 'file')}, {size(report.bytes)}" if report.files else ""
    facts = " · ".join(filter(None, [sent, f"{report.seconds:.1f} s"]))
    lines = [Text.assemble("   ", (sign, style), (report.sentence, "bold"), (f" · {facts}", "dim"))]
    if not done.as_told:
        lines.append(Text("   This is not what was announced.", "bold red"))
    return lines


def table(server: Server, page: show.Page) -> list[Text]:
    """The releases at the end.

    Args:
        server: The server.
        page: Where they are printed.
    """
    found = rows.releases(server.look(), datetime.now(UTC))
    command = Text.assemble(("   $ ", "dim"), ("opsnb releases demo", "cyan"))
    return [
        Text(),
        Text("What is there now", "bold"),
        command,
        Text(),
        *draw(show.releases(found), page),
    ]


def epilogue(tally: Tally | None, *, well: bool) -> list[Text]:
    """What visitors noticed of all that.

    Args:
        tally: What they got; None when none came.
        well: Whether everything happened as it was announced.
    """
    lines = [Text(), Text("What visitors noticed", "bold")]
    if tally is not None:
        style = "bold red" if tally.failed or tally.mixed else "bold green"
        seen = ", ".join(f"{count:,} of {version}" for version, count in tally.by_version.items())
        lines += [
            Text(f"   {plural(tally.served, 'request')} served in {age(tally.seconds)}: {seen}"),
            Text("   (v3 was live for the moment until its check had failed)", "dim"),
            Text.assemble("   ", (f"{tally.failed:,} failed", style)),
            Text.assemble("   ", (f"{tally.mixed:,} mixed", style), " (one page, two releases)"),
        ]
    if not well:
        return [*lines, Text(), Text("✕ Not everything happened as it was told.", "bold red")]
    return [*lines, Text(), Text.assemble(("✓ ", "bold green"), ("All of it came true.", "bold"))]


def staying(project: DemoProject) -> list[Text]:
    """Where to look while it stays.

    Args:
        project: The demo.
    """
    config, url = project.embedded.ssh_config, project.server("demo").url
    return [
        Text(),
        Text.assemble("Open ", (project.web_url, "underline"), " in a browser, or try"),
        Text(f"  opsnb --ssh-config {quote(str(config))} releases {quote(url)}", no_wrap=True),
        Text("Ctrl-C ends it."),
    ]

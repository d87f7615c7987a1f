"""The configuration of a server's web servers, as far as the login may read it. Reads only."""

from __future__ import annotations

from opsnb.core.webconfig import base_of, parser_of, patterns
from opsnb.core.webserver import USUAL, Files
from opsnb.remote.base import Remote

LEVELS = 6  # files that include files
MOST_PATTERNS = 200
LONGEST = 4096


async def web_files(remote: Remote, named: str = "") -> Files:
    """Read the main files, what they include, and so on.

    Args:
        remote: The server.
        named: The main file; where nginx and Apache keep theirs when not given.
    """
    wanted = [named] if named else list(USUAL)
    texts: dict[str, str] = {}
    closed: dict[str, None] = {}
    places: tuple[str, ...] = ()
    mains: tuple[str, ...] = ()
    asked = set(wanted)
    for _level in range(LEVELS):
        found = await remote.texts(wanted)
        places = tuple(dict.fromkeys(filter(None, (found.real, remote.deploy_to))))
        closed.update(dict.fromkeys(found.closed))
        new = {path: text for path, text in found.texts.items() if path not in texts}
        texts |= new
        mains = mains or tuple(new)
        wanted = [each for each in _included(mains, texts, new) if each not in asked]
        wanted = [each for each in dict.fromkeys(wanted) if _fits(each)][:MOST_PATTERNS]
        asked |= set(wanted)
        if not wanted:
            break
    return Files(texts, tuple(closed), places, mains)


def _included(mains: tuple[str, ...], texts: dict[str, str], new: dict[str, str]) -> list[str]:
    """What the new files include; each main file has its own way to say so."""
    return [
        pattern
        for main in mains
        for text in new.values()
        for pattern in patterns(text, parser_of(main, texts[main]), base_of(main, texts[main]))
    ]


def _fits(pattern: str) -> bool:
    """Whether a pattern can be asked for; a file may hold any text."""
    return len(pattern) < LONGEST and pattern.startswith("/") and not set("\n\0") & set(pattern)

"""A question over HTTP, asked from here or from the server itself; see core/asking.py."""

from __future__ import annotations

from opsnb.core import answer, asking
from opsnb.core.answer import Answer
from opsnb.core.asking import Question, Script
from opsnb.core.text import safe
from opsnb.engine.change import Change
from opsnb.errors import RemoteError

SLACK = 10.0  # seconds after its limit until what should have ended itself on the server is ended
SPARE = 65536  # bytes for the head of an answer
NO_DIRECTORY = 97


async def from_here(asked: Question) -> Answer | str:
    """Ask from this machine; the answer, or what went wrong, safe to show.

    It may be cancelled at any moment: whoever asks says how long it may take.
    """
    from opsnb.engine import http  # noqa: PLC0415 - h11 only where something is asked

    try:
        return await http.ask(asked)
    except http.ERRORS as error:
        return safe(str(error)) or type(error).__name__


async def from_server(
    change: Change, asked: Question, limit: float, directory: str = "."
) -> Answer | str:
    """Ask from the server, with whichever of its programs can; the same.

    Args:
        change: The change, which holds the lock.
        asked: The question.
        limit: Seconds that it may take.
        directory: Where it is asked, below ``deploy_to``.
    """
    script = asking.http_script(asked, tools(change), limit)
    return asking.read(await run(change, script, limit, directory), apart=script.apart)


def tools(change: Change) -> frozenset[str]:
    """The server's programs that can ask."""
    return change.site.tools if change.site else frozenset()


async def run(change: Change, script: Script, limit: float, directory: str) -> bytes:
    """What the server's program says, no more of it than an answer may have.

    Raises:
        RemoteError: There is no such directory.
    """
    said = bytearray()

    def hear(data: bytes) -> None:
        said.extend(data[: max(0, answer.MOST + 3 * SPARE - len(said))])

    given = change.secrets.beside(script.given)
    status = await change.lock.hook(directory, script.text, given, limit + SLACK, hear)
    if status == NO_DIRECTORY:
        raise RemoteError(f"{safe(directory)} is not there")
    return bytes(said)

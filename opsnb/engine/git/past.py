"""What commits lie between two releases, told by a copy; what that lacks is fetched, if asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from opsnb.core.origin import FORMAT, LISTED, Commit, Past, Way, commit_of, commits
from opsnb.core.settings.source import SourceSettings
from opsnb.engine.git.mirror import Mirror, remote_of
from opsnb.engine.git.program import Git, GitFailed
from opsnb.errors import SourceError


async def told(git: Git, *what: str) -> tuple[Commit, ...]:
    """What a repository tells of commits: of one, or of those that some have and others lack.

    Args:
        git: The repository.
        what: A commit; or one, and after a ``^`` another whose past does not count.
    """
    most = 1 if len(what) == 1 else LISTED
    answer = await git("log", f"--max-count={most}", f"--format={FORMAT}", "--no-color", *what)
    try:
        return commits(answer)
    except ValueError as error:
        raise SourceError(str(error)) from error


async def past(repository: Path, live: str, proposed: str) -> Past:
    """The way from one commit to another.

    Args:
        repository: A repository that holds the proposed one.
        live: The live release's revision.
        proposed: The proposed release's commit.
    """
    before = commit_of(live)
    if before == proposed:
        return Past(live, "same")
    git = Git(repository, "the repository")
    try:
        if not before or not await git.says("cat-file", "-e", f"{before}^{{commit}}"):
            return Past(live, "unknown")
        gained = await _count(git, proposed, before)
        lost = await _count(git, before, proposed)
        newer, older = (proposed, before) if gained else (before, proposed)
        listed = await told(git, newer, f"^{older}")
    except GitFailed:
        return Past(live, "unknown")
    way: Way = "apart" if gained and lost else "on" if gained else "back"
    return Past(live, way, listed, max(gained or lost, len(listed)) - len(listed), lost)


async def _count(git: Git, has: str, lacks: str) -> int:
    return int(await git("rev-list", "--count", has, f"^{lacks}"))


async def between(
    settings: SourceSettings, old: str, new: str, tell: Callable[[str], None]
) -> Past:
    """The way from one revision to another in the configured repository.

    Args:
        settings: What is configured.
        old: The one revision.
        new: The other; a commit.
        tell: Is told, line by line, what a fetch says.

    Raises:
        SourceError: The repository cannot be fetched, or lacks the new one.
    """
    mirror = Mirror(remote_of(settings), tell)
    async with mirror.held():
        for commit in filter(None, (commit_of(new), commit_of(old))):
            try:
                await mirror.commit(commit)
            except SourceError:
                if commit == commit_of(new):
                    raise
    return await past(mirror.path, old, commit_of(new))

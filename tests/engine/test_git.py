"""Releases of a git repository: which commit, exactly its files, its past, and nobody's code."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Outcome, Phase, PhaseEnded
from opsnb.engine import private
from opsnb.engine.git import mirror as mirrors
from opsnb.errors import ConfigError, NoSuchRelease, SourceError
from opsnb.project import load
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.support.git import Repository
from tests.support.process import until
from tests.support.sshd import RealSshd


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv("OPSNB_CACHE", str(place))
    return place


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.commit({"index": "one"}, "Open the shop")
    return made


@pytest.fixture
def shop(server: Server, repository: Repository) -> Iterator[Server]:
    configure(server, git=str(repository.path))
    yield server
    assert server.verify_log() == []


def live(server: Server) -> Path:
    return site(server) / "current"


def record(server: Server) -> object:
    release = server.look().live
    assert release
    assert release.record
    return release.record


# --- which commit ------------------------------------------------------------------------------


def test_the_branch_that_the_repository_names_is_released(
    shop: Server, repository: Repository
) -> None:
    commit = repository("rev-parse", "HEAD")
    job = shop.deploy()
    assert job.wait().outcome is Outcome.DONE
    assert (live(shop) / "index").read_text() == "one"
    assert (live(shop) / "REVISION").read_text() == f"{commit}\n"
    assert not (live(shop) / ".git").exists()
    phases = [event.phase for event in job.events if isinstance(event, PhaseEnded)]
    assert phases[0] is Phase.SOURCE


def test_the_release_tells_of_its_commit(shop: Server, repository: Repository) -> None:
    commit = repository("rev-parse", "HEAD")
    shop.deploy().wait()
    found = record(shop)
    assert (found.revision, found.author, found.subject, found.committed) == (  # type: ignore[attr-defined]
        commit,
        "Ada Lovelace",
        "Open the shop",
        "2026-03-25T12:00:00Z",
    )
    assert found.source == str(repository.path)  # type: ignore[attr-defined]
    row = shop.releases().iloc[0]
    assert (row["subject"], row["author"]) == ("Open the shop", "Ada Lovelace")
    assert row["committed"].isoformat() == "2026-03-25T12:00:00+00:00"
    begun = next(
        line for line in map(json.loads, shop.audit_log().splitlines()) if "subject" in line
    )
    assert (begun["what"], begun["subject"]) == ("deploy.begin", "Open the shop")


def test_the_same_commit_is_nothing_to_do(shop: Server) -> None:
    shop.deploy().wait()
    assert shop.deploy().wait().outcome is Outcome.NOTHING
    assert shop.plan().plan.nothing


@pytest.mark.parametrize("ref", ["v1", "old", "refs/tags/v1", "refs/heads/old"])
def test_a_branch_or_a_tag_is_resolved_when_it_is_planned(
    shop: Server, repository: Repository, ref: str
) -> None:
    first = repository("rev-parse", "HEAD")
    repository("tag", "--annotate", "v1", "--message=v1")
    repository("branch", "old")
    repository.commit({"index": "two"})
    assert shop.plan(ref=ref).wish.revision == first
    assert shop.plan().wish.revision != first


@pytest.mark.parametrize("length", [40, 8])
def test_a_commit_is_released_by_its_name_also_by_a_part(
    shop: Server, repository: Repository, length: int
) -> None:
    first = repository("rev-parse", "HEAD")
    repository.commit({"index": "two"})
    assert shop.plan(ref=first[:length]).wish.revision == first


def test_a_branch_may_take_the_name_of_a_directory_of_branches_and_back(
    shop: Server, repository: Repository
) -> None:
    def named(old: str, new: str, text: str) -> str:
        if old:
            repository("branch", "-D", old)
        repository("checkout", "--detach")
        made = repository.commit({"index": text})
        repository("branch", new)
        return made

    first = named("", "release", "two")
    assert shop.plan(ref="release").wish.revision == first
    second = named("release", "release/1.0", "three")
    assert shop.plan(ref="release/1.0").wish.revision == second
    assert shop.plan(ref=second[:8]).wish.revision == second
    third = named("release/1.0", "release", "four")
    assert shop.plan(ref="release").wish.revision == third
    fourth = repository.commit({"index": "five"})
    repository("branch", "more")
    assert shop.plan(ref=fourth[:8]).wish.revision == fourth


def test_a_build_that_was_told_another_revision_is_not_taken(
    shop: Server, repository: Repository
) -> None:
    build = ['echo "$OPSNB_REVISION" >told']
    configure(shop, git=str(repository.path), build=build, isolation="none")
    kept = shop.plan(revision="1.4-rc1")
    shop.deploy(revision="1.4").wait()
    assert (live(shop) / "told").read_text() == "1.4\n"
    assert kept.wish.revision == "1.4-rc1"


def test_a_branch_that_moves_is_followed_also_back(shop: Server, repository: Repository) -> None:
    first = repository("rev-parse", "HEAD")
    second = repository.commit({"index": "two"})
    assert shop.plan().wish.revision == second
    repository("reset", "--hard", first)
    assert shop.plan().wish.revision == first


def test_a_name_that_is_both_must_be_said_whole(shop: Server, repository: Repository) -> None:
    repository("tag", "twice")
    repository("branch", "twice")
    with pytest.raises(SourceError, match="is a branch and a tag") as caught:
        shop.plan(ref="twice")
    assert "refs/heads/twice or refs/tags/twice" in caught.value.hint
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("ref", ["nowhere", "abcdef0", "0" * 40])
def test_what_is_not_there_is_named(shop: Server, ref: str) -> None:
    with pytest.raises(SourceError, match=f"has no branch, tag or commit {ref}"):
        shop.plan(ref=ref)


def test_a_repository_that_is_not_there_fails_with_gits_words(
    server: Server, tmp_path: Path
) -> None:
    configure(server, git=str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match=r"git ls-remote failed for .*nowhere"):
        server.plan()


def test_a_relative_path_is_from_the_configuration_on(
    tmp_path: Path, repository: Repository
) -> None:
    (tmp_path / "opsnb.toml").write_text(
        f'[project]\ngit = "repository"\n[servers.one]\nurl = "file://{tmp_path}/site"\n'
    )
    project = load(tmp_path / "opsnb.toml")
    planned = project.server("one").plan()
    assert planned.wish.revision == repository("rev-parse", "HEAD")
    project.close()


def test_a_ref_needs_a_repository_and_no_folder(server: Server, shop: Server, source: Path) -> None:
    with pytest.raises(ConfigError, match="ref is for a git repository"):
        shop.plan(source, ref="main")
    configure(server, source=str(source))
    with pytest.raises(ConfigError, match="ref is for a git repository"):
        server.plan(ref="main")


# --- its files ---------------------------------------------------------------------------------


def test_the_files_are_exactly_those_of_the_commit(shop: Server, repository: Repository) -> None:
    """Modes, links, line ends and odd names; nothing of what is not committed."""
    (repository.path / "run").write_text("#!/bin/sh\n")
    (repository.path / "run").chmod(0o755)
    (repository.path / "link").symlink_to("index")
    (repository.path / "ends").write_bytes(b"a\r\nb\n")
    (repository.path / "-rf").write_text("x")
    (repository.path / os.fsdecode(b"\xff\n")).write_text("y")
    repository.commit({})
    (repository.path / "index").write_text("not committed")
    (repository.path / "untracked").write_text("x")
    shop.deploy().wait()
    assert sorted(os.listdir(os.fsencode(live(shop)))) == [
        b"-rf",
        b"REVISION",
        b"ends",
        b"index",
        b"link",
        b"run",
        b"\xff\n",
    ]
    assert (live(shop) / "index").read_text() == "one"
    assert (live(shop) / "ends").read_bytes() == b"a\r\nb\n"
    assert os.readlink(live(shop) / "link") == "index"
    modes = [stat.S_IMODE((live(shop) / name).stat().st_mode) for name in ("run", "index")]
    assert modes == [0o755, 0o644]


def test_the_operators_umask_makes_no_difference(shop: Server) -> None:
    before = os.umask(0o077)
    try:
        planned = shop.plan()
    finally:
        os.umask(before)
    assert planned.wish.source[b"index"].mode == 0o644


def test_a_subdirectory_is_released_alone(shop: Server, repository: Repository) -> None:
    repository.commit({"web/public/index": "inner", "outside": "x"})
    configure(shop, git=str(repository.path), subdirectory="web/public")
    shop.deploy().wait()
    assert sorted(path.name for path in live(shop).iterdir()) == ["REVISION", "index"]
    configure(shop, git=str(repository.path), subdirectory="nowhere")
    with pytest.raises(SourceError, match="has no directory nowhere"):
        shop.plan()


def test_a_subdirectory_that_leads_out_is_refused(shop: Server, repository: Repository) -> None:
    (repository.path / "out").symlink_to("/etc")
    repository.commit({})
    configure(shop, git=str(repository.path), subdirectory="out")
    with pytest.raises(SourceError, match="has no directory out"):
        shop.plan()


def test_what_the_commit_keeps_out_of_releases_stays_out(
    shop: Server, repository: Repository
) -> None:
    """As for ``git archive``, by .gitattributes; and by .deployignore."""
    repository.commit(
        {
            ".gitattributes": "/tests export-ignore\n*.md export-ignore\n",
            ".deployignore": "drafts/\n",
            "tests/deep/one": "x",
            "README.md": "x",
            "drafts/one": "x",
            "src/code": "x",
        }
    )
    found = shop.plan().wish.source
    assert sorted(found) == [b".gitattributes", b"index", b"src", b"src/code"]


def test_pointers_of_lfs_are_refused_by_name_unless_they_stay_out(
    shop: Server, repository: Repository
) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    repository.commit({"film.mp4": pointer, "deep/song.ogg": pointer, "small": "version x"})
    with pytest.raises(SourceError, match=r"2 files .* Git LFS.*: deep/song\.ogg, film\.mp4"):
        shop.plan()
    configure(shop, git=str(repository.path), exclude=["*.mp4", "deep/"])
    assert b"small" in shop.plan().wish.source


# --- submodules --------------------------------------------------------------------------------


@pytest.fixture
def nested(tmp_path: Path, repository: Repository) -> Repository:
    """A submodule in a submodule, the outer one beside its repository by a relative address."""
    inner = Repository(tmp_path / "inner")
    inner.commit({"deep": "innermost"})
    middle = Repository(tmp_path / "middle")
    middle("submodule", "add", "--quiet", str(inner.path), "lib")
    middle.commit({"half": "way"})
    repository("submodule", "add", "--quiet", "../middle", "vendor/middle")
    repository.commit({})
    return repository


def test_submodules_come_along_when_they_are_asked_for(shop: Server, nested: Repository) -> None:
    configure(shop, git=str(nested.path), submodules=True)
    shop.deploy().wait()
    assert (live(shop) / "vendor/middle/half").read_text() == "way"
    assert (live(shop) / "vendor/middle/lib/deep").read_text() == "innermost"


def test_submodules_that_are_left_empty_are_named(shop: Server, nested: Repository) -> None:
    planned = shop.plan()
    assert "1 submodule left empty" in str(planned)
    assert "vendor/middle" in str(planned)
    assert b"vendor/middle/half" not in planned.wish.source


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ext::sh -c 'touch pwned'", "cannot be fetched"),
        ("--upload-pack=touch pwned", "cannot be fetched"),
        ("https://user:password@127.0.0.1/x", "cannot be fetched"),
        ("middle", "would come from this machine"),
    ],
)
def test_a_submodule_from_an_odd_place_is_refused(
    shop: Server, nested: Repository, url: str, why: str
) -> None:
    (nested.path / ".gitmodules").write_text(
        f'[submodule "m"]\n\tpath = vendor/middle\n\turl = "{url}"\n'
    )
    nested.commit({})
    configure(shop, git=str(nested.path), submodules=True)
    with pytest.raises(SourceError, match=why):
        shop.plan()
    assert not Path("pwned").exists()


def test_a_repository_elsewhere_gets_no_submodule_of_this_machine() -> None:
    from opsnb.engine.git.submodules import of_submodule

    elsewhere = mirrors.Remote("https://example.com/a/b.git", 1)
    for url in ("/etc", "file:///etc"):
        with pytest.raises(SourceError, match="would come from this machine"):
            of_submodule(elsewhere, url, b"lib")
    assert of_submodule(elsewhere, "../c.git", b"lib") == "https://example.com/a/c.git"
    scp = mirrors.Remote("git@example.com:a/b.git", 1)
    assert of_submodule(scp, "../c.git", b"lib") == "git@example.com:a/c.git"


# --- the past ----------------------------------------------------------------------------------


def test_a_plan_lists_the_commits_since_the_live_one(shop: Server, repository: Repository) -> None:
    shop.deploy().wait()
    repository.commit({"index": "two"}, "Mend the door")
    repository.commit({"index": "three"}, "Paint it \x1b]0;red\x07")
    planned = shop.plan()
    assert planned.plan.past
    assert planned.plan.past.way == "on"
    assert [c.subject for c in planned.plan.past.commits] == [
        "Paint it \x1b]0;red\x07",
        "Mend the door",
    ]
    assert "commits  2 commits since" in str(planned)
    assert "Paint it \\x1b]0;red\\x07" in str(planned)
    assert "\x1b" not in str(planned)


def test_a_plan_that_goes_back_says_so(shop: Server, repository: Repository) -> None:
    first = repository("rev-parse", "HEAD")
    repository.commit({"index": "two"})
    shop.deploy().wait()
    planned = shop.plan(ref=first)
    assert planned.plan.past
    assert (planned.plan.past.way, planned.plan.past.lost) == ("back", 1)
    assert "goes back" in str(planned)


def test_a_plan_that_leaves_the_live_ones_branch_says_so(
    shop: Server, repository: Repository
) -> None:
    first = repository("rev-parse", "HEAD")
    repository.commit({"index": "two"})
    shop.deploy().wait()
    repository("checkout", "--quiet", "-b", "other", first)
    repository.commit({"index": "other"})
    past = shop.plan(ref="other").plan.past
    assert past
    assert (past.way, len(past.commits), past.lost) == ("apart", 1, 1)


def test_a_live_commit_that_the_repository_lacks_is_told(
    shop: Server, source: Path, repository: Repository
) -> None:
    for revision in ("f" * 40, "v1.2"):
        (source / "index").write_text(revision)
        shop.deploy(source, revision=revision).wait()
        planned = shop.plan()
        assert planned.plan.past
        assert planned.plan.past.way == "unknown"
        assert "is not in the repository" in str(planned)


def test_many_commits_are_counted_and_not_all_listed(shop: Server, repository: Repository) -> None:
    shop.deploy().wait()
    for number in range(53):
        repository("commit", "--quiet", "--allow-empty", f"--message={number}")
    past = shop.plan(force=True).plan.past
    assert past
    assert (len(past.commits), past.more) == (50, 3)


def test_two_releases_are_told_apart_by_their_commits(
    shop: Server, repository: Repository, source: Path
) -> None:
    shop.deploy().wait()
    repository.commit({"index": "two"}, "Mend the door")
    shop.deploy().wait()
    old, new = (release.name for release in shop.look().releases)
    assert [c.subject for c in shop.commits(old, new).commits] == ["Mend the door"]
    assert shop.commits(new, old).way == "back"
    shop.deploy(source).wait()
    with pytest.raises(NoSuchRelease, match="is not known to be of a commit"):
        shop.commits(old, shop.look().current.name)


# --- the copy of the repository ----------------------------------------------------------------


def test_only_what_is_asked_for_is_fetched(
    shop: Server, repository: Repository, cache: Path
) -> None:
    repository("checkout", "--quiet", "-b", "secret-branch")
    other = repository.commit({"big": "x"})
    repository("checkout", "--quiet", "main")
    shop.plan()
    (bare,) = (cache / "git").glob("*.git")
    had = subprocess.run(["git", f"--git-dir={bare}", "cat-file", "-e", other], check=False)
    assert had.returncode != 0
    assert stat.S_IMODE(bare.stat().st_mode) == 0o700
    assert not (bare / "hooks").exists()


def test_a_commit_that_is_there_already_is_not_fetched_again(
    shop: Server, repository: Repository
) -> None:
    """By its whole name it needs nobody else at all."""
    commit = repository("rev-parse", "HEAD")
    shop.plan()
    said: list[str] = []
    shop.plan(on_output=said.append)
    assert not [line for line in said if "fetching" in line]
    repository.path.rename(repository.path.with_name("gone"))
    assert shop.plan(ref=commit).wish.revision == commit


@pytest.mark.parametrize("how", ["no HEAD", "an empty object", "no objects"])
def test_a_broken_copy_is_made_anew(
    shop: Server, repository: Repository, cache: Path, how: str
) -> None:
    shop.plan()
    (bare,) = (cache / "git").glob("*.git")
    repository.commit({"index": "two"})
    if how == "no HEAD":
        (bare / "HEAD").unlink()
    elif how == "no objects":
        private.remove(bare / "objects")
    else:
        for loose in (path for path in (bare / "objects").rglob("*") if path.is_file()):
            loose.chmod(0o600)
            loose.write_bytes(b"")
    shop.deploy().wait()
    assert (live(shop) / "index").read_text() == "two"


def test_a_repository_that_is_away_for_a_while_costs_no_copy(
    shop: Server, repository: Repository, cache: Path
) -> None:
    shop.plan()
    (bare,) = (cache / "git").glob("*.git")
    before = bare.stat().st_ino
    away = repository.path.rename(repository.path.with_name("away"))
    with pytest.raises(SourceError, match="git ls-remote failed"):
        shop.plan()
    away.rename(repository.path)
    shop.plan()
    assert bare.stat().st_ino == before


def test_few_copies_are_kept_and_none_that_somebody_has(
    shop: Server, repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "KEPT", 2)
    for number in range(4):
        old = cache / "git" / f"old{number}.git"
        old.mkdir(parents=True)
        os.utime(old, (number, number))
    held = private.taken(cache / "git" / "old0.lock")
    assert held is not None
    shop.plan()
    left = sorted(path.name for path in (cache / "git").glob("*.git"))
    os.close(held)
    assert [name for name in left if name.startswith("old")] == ["old0.git", "old3.git"]
    assert len(left) == 3


def test_two_at_once_take_turns(
    shop: Server, repository: Repository, tmp_path: Path, cache: Path
) -> None:
    """One who has the copy is waited for; here it is this test."""
    (cache / "git").mkdir(parents=True)
    remote = mirrors.Remote(str(repository.path), 30)
    held = private.taken(mirrors.Mirror(remote, print)._lock)
    assert held is not None
    said: list[str] = []
    planning = threading.Thread(target=lambda: shop.plan(on_output=said.append))
    planning.start()
    until(lambda: any("waiting for another opsnb" in line for line in said))
    assert planning.is_alive()
    os.close(held)
    planning.join(30)
    assert any("Open the shop" in line for line in said)


def test_what_dead_processes_left_goes_with_the_next(shop: Server, cache: Path) -> None:
    left = cache / "work" / "w.dead"
    (left / "tree" / "closed").mkdir(parents=True)
    (left / "tree" / "closed").chmod(0)
    (left / "lock").touch()
    kept = private.Workspace()
    planned = shop.plan()
    assert not left.exists()
    assert kept.path.is_dir()
    assert planned.source.root.is_dir()
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o700


def test_the_files_are_there_for_as_long_as_the_plan(shop: Server) -> None:
    planned = shop.plan()
    root = planned.source.root
    shop.close()
    assert (root / "index").is_file()
    assert shop.deploy(planned).wait().outcome is Outcome.DONE
    shop.jobs.clear()
    del planned
    until(lambda: not root.exists())


# --- nobody's code -----------------------------------------------------------------------------


def test_neither_hooks_nor_filters_nor_monitors_run(
    shop: Server,
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
) -> None:
    """Neither the user's configuration nor the repository makes git run anything."""
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {ran}\ncat\n')
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        (hooks / name).write_text(program.read_text())
        (hooks / name).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = {program}\n\tpager = {program}\n"
        f'[filter "evil"]\n\tsmudge = {program}\n\tprocess = {program}\n\trequired = true\n'
        f"[log]\n\tshowSignature = true\n[gpg]\n\tprogram = {program}\n"
    )
    monkeypatch.setenv("HOME", str(home))
    repository.commit({".gitattributes": "index filter=evil\n"})
    shop.deploy().wait()
    assert (live(shop) / "index").read_text() == "one"
    assert not ran.exists()
    # The control: git as it is runs them.
    argv = ["git", "clone", "--quiet", str(repository.path), str(tmp_path / "clone")]
    subprocess.run(argv, env={**os.environ}, check=False, capture_output=True)
    assert ran.exists()


def test_a_repository_is_fetched_by_ssh_with_the_users_own_keys(
    shop: Server, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSH's sshd; the key is named by the user's own configuration of ssh."""
    with RealSshd() as running:
        place = running.home / "shop.git"
        subprocess.run(
            ["git", "clone", "--quiet", "--bare", str(repository.path), str(place)], check=True
        )
        subprocess.run(["chown", "-R", f"{running.uid}:{running.gid}", str(place)], check=True)
        monkeypatch.setenv("GIT_SSH_COMMAND", f"ssh -F {running.ssh_config}")
        configure(shop, git=running.url(place))
        shop.deploy().wait()
    assert (live(shop) / "index").read_text() == "one"


def test_the_users_own_configuration_helps_to_fetch(
    shop: Server, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "{repository.path}"]\n\tinsteadOf = {tmp_path}/elsewhere\n'
    )
    monkeypatch.setenv("HOME", str(home))
    configure(shop, git=f"{tmp_path}/elsewhere")
    assert shop.plan().wish.revision == repository("rev-parse", "HEAD")


@pytest.mark.parametrize(
    "git",
    [
        "--upload-pack=touch pwned",
        "-u",
        "ext::sh -c 'touch pwned'",
        "fd::17",
        "https://user:password@127.0.0.1/x.git",
        "ssh://-oProxyCommand=touch/x",
        "ssh://user@-oProxyCommand=touch/x",
        "gopher://127.0.0.1/",
        "a\nb",
    ],
)
def test_an_address_that_git_could_take_for_something_else_is_refused(git: str) -> None:
    with pytest.raises(ValueError, match="git") as caught:
        configure(Server("file:///tmp/nowhere"), git=git)
    assert "user:password" not in str(caught.value)


@pytest.mark.parametrize(
    "ref",
    ["--output=x", "-", "a..b", "a b", "a:b", "a~1", "a^", "x.lock", "a/", "@{1}", "*"],
)
def test_a_reference_that_git_could_take_for_something_else_is_refused(
    shop: Server, ref: str
) -> None:
    with pytest.raises(ConfigError, match="no branch, tag or commit"):
        shop.plan(ref=ref)


def test_a_token_in_an_address_is_shown_nowhere(server: Server, tmp_path: Path) -> None:
    """Nobody listens there: git fails, and says the address."""
    token = "ghp_0123456789abcdef"
    configure(server, git=f"http://{token}@127.0.0.1:9/shop.git")
    said: list[str] = []
    with pytest.raises(SourceError) as caught:
        server.plan(on_output=said.append)
    assert "127.0.0.1" in str(caught.value)
    assert token not in str(caught.value) + "".join(said)


def test_nobody_is_asked_for_a_password(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that wants one gets none, and it does not hang."""
    import http.server

    class Closed(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("SSH_ASKPASS", "/bin/sleep")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closed) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        configure(server, git=f"http://127.0.0.1:{running.server_port}/shop.git")
        with pytest.raises(SourceError, match="git ls-remote failed"):
            server.plan()
        running.shutdown()


def test_a_repository_that_does_not_answer_is_given_up(server: Server) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure(
            server, git=f"git://127.0.0.1:{silent.getsockname()[1]}/shop.git", git_timeout=0.5
        )
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"did not end within 0\.5 s"):
            server.plan()
        assert time.monotonic() - began < 60

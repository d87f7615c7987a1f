"""A project: its file, its servers, and what they inherit."""

from __future__ import annotations

from pathlib import Path

import pytest

import opsnb
from opsnb.errors import ConfigError
from opsnb.project import load


def write(folder: Path, text: str) -> Path:
    file = folder / "opsnb.toml"
    file.write_text(text)
    return file


def test_settings_are_inherited_and_the_nearest_wins(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        [project]
        keep_releases = 5
        base = "clean"
        [environments.live]
        keep_releases = 7
        confirm = "type-name"
        [servers.a]
        url = "ssh://u@h/srv/a"
        environment = "live"
        [servers.b]
        url = "ssh://u@h:2222/srv/b"
        keep_releases = 9
        """,
    )
    project = load(file)
    assert project.server("a").settings.keep_releases == 7
    assert project.server("b").settings.keep_releases == 9
    assert {server.settings.base for server in project.servers.values()} == {"clean"}
    assert project.server("a").environment.confirm == "type-name"
    assert project.server("a").environment_name == "live"
    assert project.server("b").deploy_to == "/srv/b"


def test_a_relative_source_is_relative_to_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "a").write_text("a")
    file = write(
        tmp_path, f'[project]\nsource = "dist"\n[servers.a]\nurl = "file://{tmp_path}/site"\n'
    )
    project = load(file)
    assert project.server("a").deploy().wait().files == 1
    project.close()


def test_a_server_is_the_same_object_each_time(tmp_path: Path) -> None:
    project = load(write(tmp_path, '[servers.a]\nurl = "ssh://h/srv/a"\n'))
    assert project.server("a") is project.server("a")
    assert project.server("ssh://h/srv/b").name == "h"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "not TOML"),
        ("[project]\nkeep_releases = 0\n", "opsnb.toml:2: project.keep_releases"),
        ("[project]\n\nkep_releases = 3\n", "opsnb.toml:3: project.kep_releases: no such key"),
        ('[servers.a]\nurl = "http://h/x"\n', "opsnb.toml:2: servers.a.url"),
        ('[servers.a]\nurl = "ssh://h/x"\nenvironment = "no"\n', "no environment 'no'"),
        ('[project]\nlinked_dirs = ["a", "a/b"]\n', "lies inside"),
    ],
)
def test_a_wrong_file_is_refused_with_file_line_and_key(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=r".") as error:
        load(write(tmp_path, text))
    assert said in str(error.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="opsnb config"):
        load(tmp_path / "opsnb.toml")


def test_an_unknown_server_names_the_known_ones(tmp_path: Path) -> None:
    project = load(write(tmp_path, '[servers.a]\nurl = "ssh://h/srv/a"\n'))
    with pytest.raises(ConfigError, match="Known servers: a"):
        project.server("b")


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as error:
        opsnb.Server("ssh://user:s3cret@host/srv/a")
    assert "s3cret" not in str(error.value)


def test_servers_are_found_by_their_environment(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        [environments.live]
        [environments.staging]
        [environments.empty]
        [servers.a]
        url = "file:///srv/a"
        environment = "live"
        [servers.b]
        url = "file:///srv/b"
        environment = "live"
        [servers.stage]
        url = "file:///srv/stage"
        environment = "staging"
        """,
    )
    project = load(file)
    assert [server.name for server in project.environment_servers("live")] == ["a", "b"]
    assert project.environment_servers("empty") == ()
    assert [server.name for server in project.servers_of("live")] == ["a", "b"]
    assert [server.name for server in project.servers_of("b")] == ["b"]
    assert project.one_server("staging").name == project.one_server("stage").name == "stage"
    for name, said in (("live", "It has: a, b"), ("empty", "none"), ("lime", "There are: a, b")):
        with pytest.raises(ConfigError) as caught:
            project.one_server(name)
        assert said in str(caught.value)
    with pytest.raises(ConfigError, match="Known environments: live, staging, empty"):
        project.environment_servers("a")


@pytest.mark.parametrize("name", ["one", "file:///srv/other"])
def test_paths_are_relative_to_the_file_also_for_a_server_by_its_address(
    tmp_path: Path, name: str
) -> None:
    for key, value, placed in (
        ("source", "dist", f"{tmp_path}/dist"),
        ("git", "../repo", f"{tmp_path}/../repo"),
        ("git", "/srv/repo", "/srv/repo"),
        ("git", "git@example.com:repo", "git@example.com:repo"),
        ("git", "https://example.com/repo", "https://example.com/repo"),
    ):
        text = f'[project]\n{key} = "{value}"\n[servers.one]\nurl = "file:///srv/one"\n'
        project = load(write(tmp_path, text))
        assert getattr(project.server(name).settings, key) == placed
        project.close()

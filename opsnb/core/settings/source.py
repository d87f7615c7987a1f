"""Where a release comes from."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from opsnb.core.settings.table import Table, inside

# What git itself takes for a reference, less what would be an option or a range of commits.
_REF = re.compile(r"(?!-)(?!.*(\.\.|@\{|//|\.lock$|[/.]$))[^\x00-\x20\x7f~^:?*\[\\]+")
_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)")
SCHEMES = ("https", "http", "ssh", "git", "file")


def address(git: str) -> str:
    """Where a git repository is, when it is safe to hand it to git.

    Raises:
        ValueError: It is not, or holds a password.
    """
    if git.startswith("-") or _HELPER.match(git):
        raise ValueError("this is no path and no URL that opsnb hands to git")
    if re.search(r"[\x00-\x1f\x7f]", git):
        raise ValueError("the repository's address holds a control character")
    if found := _URL.match(git):
        scheme, login = found[1].lower(), found[2].rpartition("@")[0]
        if scheme not in SCHEMES:
            raise ValueError(f"a repository's URL begins with one of {', '.join(SCHEMES)}")
        if ":" in login:
            raise ValueError(
                "a password does not belong in an address: use ssh or a credential helper"
            )
        if found[2].rpartition("@")[2].startswith("-"):
            raise ValueError("this is no host")
    return git


def is_path(git: str) -> bool:
    """Whether a repository's address is a path; ``host:path`` is none, as for git."""
    return bool(git) and "://" not in git and not re.match(r"[^/]+:", git)


def reference(ref: str) -> str:
    """A branch, a tag or a commit, when git would take it for one.

    Raises:
        ValueError: It would not.
    """
    if ref and (not _REF.fullmatch(ref) or len(ref) > 200):
        raise ValueError("this is no branch, tag or commit")
    return ref


class SourceSettings(Table):
    """What is released."""

    source: str = Field("", description="The folder to release, or to build.")
    git: str = Field(
        "",
        description="Or a git repository, by path or URL; a path is relative to opsnb.toml.",
    )
    ref: str = Field(
        "", description="Its branch, tag or commit; nothing: the branch that the repository names."
    )
    subdirectory: str = Field("", description="The directory of the repository that is released.")
    submodules: bool = Field(False, description="Whether the repository's submodules come along.")
    git_timeout: float = Field(
        300, gt=0, description="Seconds until git is ended when it fetches, and has failed."
    )
    exclude: tuple[str, ...] = Field(
        (), description="What of the source stays out: gitignore rules; .deployignore is read too."
    )

    @field_validator("git")
    @classmethod
    def _repository(cls, git: str) -> str:
        return address(git)

    @field_validator("ref")
    @classmethod
    def _known_ref(cls, ref: str) -> str:
        return reference(ref)

    @field_validator("subdirectory")
    @classmethod
    def _below_repository(cls, path: str) -> str:
        return inside(path) if path.strip("/.") else ""

    @model_validator(mode="after")
    def _one_source(self) -> SourceSettings:
        if self.source and self.git:
            raise ValueError("give either source or git")
        return self

"""A table of ``opsnb.toml``: what every one of them refuses and keeps to itself."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """Keys and values. An unknown key is refused, and a message never shows a value."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True
    )


def inside(path: str) -> str:
    """A path inside a release or ``shared/``, without what means nothing in it.

    Raises:
        ValueError: It is none.
    """
    parts = path.rstrip("/").split("/")
    if not path or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise ValueError(f"{path!r} is not a path inside a release")
    return "/".join(parts)

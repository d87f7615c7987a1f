"""What IPython is taught to show is known by the names of classes: they must be their own."""

from __future__ import annotations

from importlib import import_module

import pytest

from opsnb.notebook.formatters import CONSOLE, JOB, PLAIN


@pytest.mark.parametrize(("module", "name"), [*PLAIN, JOB, CONSOLE])
def test_the_class_is_where_the_name_says(module: str, name: str) -> None:
    """A class that is only imported there is another one to IPython, and would not be shown."""
    assert getattr(import_module(module), name).__module__ == module

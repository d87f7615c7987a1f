"""A cell that failed, told in a line or two.

IPython asks an exception how it wants to be shown; the cell has failed all the same, so what comes
after it under "Run all" and in a headless run is not run.
"""

from __future__ import annotations


class CellFailed(Exception):
    """A cell of ours failed; its text says everything that there is to say."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return str(self).splitlines()

"""The kernels that everything is tried on."""

from __future__ import annotations

import json
from importlib.metadata import version

from tests.kernel.session import Session
from tests.support.kernels import NEW, PINNED


def test_each_kernel_runs_its_own_ipykernel_and_otherwise_the_same(
    session: Session, kernel: str
) -> None:
    packages = ("ipykernel", "ipython", "ipywidgets", "anywidget", "jupyter_client", "asyncssh")
    said = session.run(
        "import json, ipykernel, opsnb\n"
        "from importlib.metadata import version\n"
        f"print(json.dumps({{name: version(name) for name in {packages}}}))\n"
        "print(ipykernel.__version__)\n"
        "print(opsnb.__file__)\n"
    ).splitlines()
    theirs = json.loads(said[0])
    assert theirs.pop("ipykernel") == said[1]
    assert said[1].startswith(PINNED.get(kernel, version("ipykernel")).removesuffix("*"))
    assert theirs == {name: version(name) for name in packages if name != "ipykernel"}

    import opsnb

    assert said[2] == opsnb.__file__


def test_the_new_kernel_is_newer_than_the_pinned_ones() -> None:
    newest = tuple(int(part) for part in version("ipykernel").split(".")[:2])
    assert NEW not in PINNED
    assert newest >= (7, 4)


def test_importing_opsnb_loads_no_widget(session: Session) -> None:
    said = session.run(
        "import sys\n"
        "before = set(sys.modules)\n"
        "import opsnb\n"
        "new = set(sys.modules) - before\n"
        "heavy = {'ipywidgets', 'anywidget', 'pandas', 'numpy', 'asyncssh', 'pydantic'}\n"
        "print(sorted(heavy & new), 'ipywidgets' in sys.modules)\n"
    )
    assert said.strip() == "[] False"

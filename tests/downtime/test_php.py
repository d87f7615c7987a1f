"""PHP-FPM with an opcode cache that never looks at times: all code of one, and the right, release.

The page is put together of four files with a pause between them, so that switches fall in between.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from tests.downtime.conftest import WHOLE
from tests.downtime.load import Crowd, verdict
from tests.downtime.operator import NAMED, Operator
from tests.downtime.test_nginx import told
from tests.downtime.web import PHP, nginx, php
from tests.support.sshd import RealSshd

DEPLOYS, ROLLBACKS = (100, 30) if WHOLE else (20, 6)


def visited(
    sshd: RealSshd, operator: Operator, root: str, changes: tuple[int, int]
) -> Counter[str]:
    """What visitors get of a PHP page whose path begins with a variable of nginx."""
    operator.deploy()
    with php(sshd, f"php-{root[1:]}") as listening:
        location = PHP.format(socket=listening, root=root)
        with (
            nginx(sshd, operator.site / "current", location, f"nginx-{root[1:]}") as port,
            Crowd(port, "/index.php") as crowd,
        ):
            time.sleep(0.3)
            operator.work(*changes)
            time.sleep(0.5)
    assert len(crowd.answers) > 10 * changes[0]
    return verdict(crowd.answers, operator.switches, NAMED)


def test_behind_the_real_path_every_answer_is_of_one_release_and_the_right_one(
    sshd: RealSshd, operator: Operator, said: Callable[[str, object], None]
) -> None:
    """``$realpath_root`` follows ``current`` once for each request."""
    found = visited(sshd, operator, "$realpath_root", (DEPLOYS, ROLLBACKS))
    said(f"{DEPLOYS} deploys, {ROLLBACKS} rollbacks, PHP-FPM, $realpath_root", told(found))
    assert set(found) == {"good"}


def test_the_control_behind_the_link_code_is_stale_or_mixed(
    sshd: RealSshd, operator: Operator, said: Callable[[str, object], None]
) -> None:
    """``$document_root`` hands the link on: PHP remembers where it led."""
    found = visited(sshd, operator, "$document_root", (6, 2))
    said("control: 6 deploys, 2 rollbacks, PHP-FPM, $document_root", told(found))
    assert found["stale"] + found["mixed"] > 0

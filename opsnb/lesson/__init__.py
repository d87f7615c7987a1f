"""The lesson: why a release is safe and an upload in place is not, measured and drawn.

::

    from opsnb import lesson

    shop = lesson.Shop()
    lesson.finish(shop.server.deploy(shop.site("v1")))
    run = lesson.watch(shop.live, lambda: shop.server.deploy(shop.site("v2")))
    run.failed, run.mixed

Rule 1: nothing is acted: real servers, real files, real visitors; every number is counted.
Rule 2: nothing of opsnb imports this; ``notebooks/lesson.ipynb`` does.
"""

from opsnb.lesson.experiment import Run, apart, finish
from opsnb.lesson.live import compare, counts, watch
from opsnb.lesson.pictures import Picture, before_after, film, table
from opsnb.lesson.program import Program
from opsnb.lesson.shop import Shop
from opsnb.lesson.tree import site_tree

__all__ = [
    "Picture",
    "Program",
    "Run",
    "Shop",
    "apart",
    "before_after",
    "compare",
    "counts",
    "film",
    "finish",
    "site_tree",
    "table",
    "watch",
]

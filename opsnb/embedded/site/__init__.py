"""The website of an imaginary bookshop, "Harbour Books", in three versions to deploy.

Rule 1: ``v1`` and ``v2`` are good; ``v3`` is broken, and says so in ``health.txt`` and on sight.
Rule 2: every page, style sheet and script names its version at its start (``release-version``)
        and at its end (``end v2``), so that an answer mixed from two versions gives itself away.
Rule 3: what is the same in two versions is the same file, byte for byte, as in a real release.
Rule 4: nothing here asks the network for anything.

The photo and the settings are not part of a version: they live in ``shared``, where people put
them, and outlive every release.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

VERSIONS = ("v1", "v2", "v3")

PHOTO = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 420" role="img">
  <title>The shop window, photographed on Saturday</title>
  <rect width="640" height="420" fill="#3b4a54"/>
  <rect y="352" width="640" height="68" fill="#8d8579"/>
  <path d="M0 352h640v6H0z" fill="#6f685e"/>
  <rect x="60" y="54" width="520" height="298" rx="4" fill="#22303a"/>
  <rect x="76" y="98" width="322" height="238" fill="#f6d9a0"/>
  <rect x="418" y="98" width="146" height="254" fill="#2f4452"/>
  <rect x="436" y="116" width="110" height="128" fill="#f3cf8c"/>
  <circle cx="432" cy="272" r="5" fill="#d9b36a"/>
  <text x="320" y="84" fill="#f2e9d8" font-family="Georgia,serif" font-size="25"
    letter-spacing="7" text-anchor="middle">HARBOUR BOOKS</text>
  <path d="M76 196h322v7H76zM76 276h322v7H76z" fill="#8a6238"/>
  <g>
    <path d="M92 130h16v66H92zM148 122h20v74h-20zM216 134h15v62h-15z" fill="#b4513b"/>
    <path d="M110 138h22v58h-22zM170 140h14v56h-14zM300 126h18v70h-18z" fill="#2f6073"/>
    <path d="M134 128h12v68h-12zM233 124h22v72h-22zM344 136h20v60h-20z" fill="#55713f"/>
    <path d="M186 130h28v66h-28zM320 132h22v64h-22z" fill="#e9e1cf"/>
    <path d="M96 218h24v58H96zM196 212h16v64h-16zM352 220h18v56h-18z" fill="#2f6073"/>
    <path d="M122 210h14v66h-14zM160 222h34v54h-34zM330 208h20v68h-20z" fill="#d49b3d"/>
    <path d="M138 216h20v60h-20zM214 220h22v56h-22z" fill="#b4513b"/>
  </g>
  <path d="m262 196 16-66 14 4-16 62z" fill="#d49b3d"/>
  <path d="M246 276c-3-26 8-40 24-42 5-12 16-12 18 0 14 4 22 18 20 42z" fill="#2b2a29"/>
  <path d="m272 236 4-12 8 8zM288 232l8-8 3 13z" fill="#2b2a29"/>
  <path d="M306 274c22 6 26-14 16-22" fill="none" stroke="#2b2a29" stroke-width="6"
    stroke-linecap="round"/>
  <rect x="96" y="294" width="126" height="42" fill="#a8743f"/>
  <rect x="240" y="304" width="142" height="32" fill="#c08a50"/>
  <path d="M76 98h322v238z" fill="#fff" opacity=".07"/>
  <rect x="24" y="306" width="40" height="46" rx="3" fill="#b5694a"/>
  <path d="M44 308c-22-12-20-40-14-52 10 10 14 28 14 52zm0 0c22-12 20-44 14-58-10 12-14 32-14 58z"
    fill="#5f7f55"/>
</svg>
"""

SETTINGS = """\
{
  "shop": "Harbour Books",
  "currency": "EUR",
  "newsletter": true
}
"""


def site_path(version: str) -> Path:
    """The folder of one version, to deploy from.

    Args:
        version: One of :data:`VERSIONS`.

    Raises:
        ValueError: There is no such version.
    """
    if version not in VERSIONS:
        raise ValueError(f"there is no version {version!r}; there are {', '.join(VERSIONS)}")
    return Path(str(files(__name__) / version))


def seed_shared(deploy_to: Path) -> None:
    """Put a photo and settings into ``shared``, as people would have; what is there stays.

    Args:
        deploy_to: The deployment path.

    Raises:
        OSError: It cannot be written to.
    """
    shared = {"uploads/photo.svg": PHOTO, "config/settings.json": SETTINGS}
    for name, content in shared.items():
        file = deploy_to / "shared" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text(content, "utf-8")

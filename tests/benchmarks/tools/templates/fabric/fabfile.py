"""The fabfile that people write: pack, put, unpack, switch, prune."""

import os
import tempfile
from datetime import UTC, datetime

from fabric import task

SITE = os.environ["DEPLOY_TO"]


@task
def deploy(c, tree, keep=3):
    name = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    release = f"{SITE}/releases/{name}"
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as tarball:
        c.local(f"tar -czf {tarball.name} -C {tree} .")
        c.run(f"mkdir -p {SITE}/shared {release}")
        c.put(tarball.name, f"{release}.tar.gz")
    c.run(f"tar -xpzf {release}.tar.gz -C {release} && rm {release}.tar.gz")
    switch(c, name)
    prune(c, keep)


@task
def rollback(c):
    live = os.path.basename(c.run(f"readlink {SITE}/current", hide=True).stdout.strip())
    names = sorted(c.run(f"ls -1 {SITE}/releases", hide=True).stdout.split())
    older = [name for name in names if name < live]
    if not older:
        raise SystemExit("there is no release before this one")
    switch(c, older[-1])


@task
def releases(c):
    c.run(f"cd {SITE} && readlink current && du -sh releases/*")


@task
def prune(c, keep=3):
    c.run(f"cd {SITE}/releases && ls -1 | sort | head -n -{keep} | xargs -r rm -rf")


def switch(c, name):
    c.run(f"cd {SITE} && ln -sfn releases/{name} current.new && mv -T current.new current")

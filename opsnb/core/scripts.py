"""Scripts as texts for a shell: a file of the operator's, and another user's. Pure.

Rule: no value of an environment stands in an argument, which every user of a machine can see.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

MOST = 100_000  # bytes of a script: the kernel takes 128 KiB for an argument


def interpreter(text: str) -> list[str]:
    """What runs a script by its first line, and the one argument that may stand there."""
    first, _, _ = text.partition("\n")
    if not first.startswith("#!"):
        return ["/bin/sh"]
    return first[2:].strip().split(None, 1) or ["/bin/sh"]


def of_file(text: str, mark: str) -> str:
    """A command that runs a script on a server, by what its first line names.

    Args:
        text: The script.
        mark: A word that does not occur in it.
    """
    program = interpreter(text)
    if program == ["/bin/sh"]:
        return text
    # By its interpreter, not by itself: nothing may be executed where many systems keep /tmp.
    return (
        "opsnb_file=$(mktemp) && trap 'rm -f \"$opsnb_file\"' EXIT &&\n"
        f"cat >\"$opsnb_file\" <<'{mark}' &&\n{text}\n{mark}\n"
        f'{shlex.join(program)} "$opsnb_file"'
    )


def as_user(user: str, command: str, names: Iterable[str]) -> str:
    """A command as another user's, by sudo without a password.

    sudo keeps nothing of the environment, so it is told to the shell it starts, on its standard
    input. That shell ends what it runs when the one that started it is gone: no signal of the
    login's reaches another user's processes.

    Args:
        user: The user.
        command: A script for ``/bin/sh``.
        names: Names of the variables that it is to find.
    """
    sudo = f"sudo -n -u {shlex.quote(user)} -- /bin/sh"
    # A value in quotes, each quote of its own as '\\''; the full stop keeps its last line break.
    quote = r"""sed "s/'/'\\\\''/g; 1s/^/'/; \$s/.\$/'/" """.rstrip()
    tell = "\n".join(
        f'printf "export %s=" {name}; printf "%s." "${name}" | {quote}; echo' for name in names
    )
    return _AS_USER.format(
        sudo=sudo, user=shlex.quote(user), tell=tell, script=shlex.quote(_watched(command))
    )


_AS_USER = """{sudo} -c : </dev/null || {{
    echo "sudo does not run /bin/sh as "{user}" without a password" >&2
    exit 126
}}
{{
{tell}
echo "opsnb_parent=$$"
printf '%s\\n' {script}
}} | {sudo} -s"""


def _watched(command: str) -> str:
    return (
        "if [ -d /proc/$opsnb_parent ]; then\n"
        "    (\n"
        "        trap '' TERM\n"
        "        while read -r opsnb_line </proc/$opsnb_parent/stat; do\n"
        "            case $opsnb_line in *') Z '*) break ;; esac\n"
        "            sleep 1\n"
        "        done\n"
        "        kill -TERM 0; sleep 2; kill -KILL 0\n"
        "    ) </dev/null >/dev/null 2>&1 &\n"
        "fi\n"
        f"/bin/sh -c {shlex.quote(command)} </dev/null\n"
        "opsnb_status=$?\n"
        '[ -z "$!" ] || kill -KILL "$!" 2>/dev/null\n'
        "exit $opsnb_status"
    )

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


def may_become(user: str) -> str:
    """A command that asks whether sudo runs for the login, as another user, what a hook needs."""
    return f"{_sudo(user)} </dev/null >/dev/null 2>&1"


def as_user(user: str, command: str, names: Iterable[str], seconds: int) -> str:
    """A command as another user's, by sudo without a password.

    sudo keeps nothing of the environment, so it is told to the shell it starts, on its standard
    input. No signal of the login's reaches another user's processes, so that shell ends what it
    runs itself, with its process group: when its input ends, which one of the login's processes
    keeps open for as long as the hook lasts.

    Args:
        user: The user.
        command: A script for ``/bin/sh``.
        names: Names of the variables that it is to find.
        seconds: After which it ends itself in any case.
    """
    # A value in quotes, each quote of its own as '\\''; the full stop keeps its last line break.
    quote = r"""sed "s/'/'\\\\''/g; 1s/^/'/; \$s/.\$/'/" """.rstrip()
    tell = "\n".join(
        f'printf "export %s=" {name}; printf "%s." "${name}" | {quote}; echo' for name in names
    )
    script = _WATCHED.replace("COMMAND", shlex.quote(command))
    return _AS_USER.format(
        sudo=_sudo(user),
        user=shlex.quote(user),
        tell=tell,
        script=shlex.quote(script),
        seconds=seconds,
    )


def _sudo(user: str) -> str:
    return f"sudo -n -u {shlex.quote(user)} -- /bin/sh -s"


_AS_USER = """{sudo} </dev/null || {{
    echo "sudo does not run /bin/sh as "{user}" without a password" >&2
    exit 126
}}
{{ {{
/bin/sh -c 'echo "$PPID"'
{tell}
printf '%s\\n' {script}
exec sleep {seconds} 5>&-
}} | {{
read -r opsnb_open
{sudo} 2>&5 5>&-
opsnb_status=$?
kill -KILL "$opsnb_open"
exit "$opsnb_status"
}}; }} 5>&2 2>/dev/null"""

# One command, so that all of it has been read before its input is taken for something else.
_WATCHED = """{
exec 6<&0 </dev/null
( trap '' TERM; read -r opsnb_line; kill -TERM 0; sleep 2; kill -KILL 0 ) <&6 >/dev/null 2>&1 &
exec 6<&-
opsnb_watch=$!
trap : TERM
/bin/sh -c COMMAND
opsnb_status=$?
kill -KILL "$opsnb_watch" 2>/dev/null
exit "$opsnb_status"
}"""

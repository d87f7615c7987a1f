"""Two hundred texts that a careless shell would run: what they would do is make a file `pwned`.

None holds a slash or a NUL, so that each may be the name of a file, too.
"""

from __future__ import annotations

DO = "touch pwned"

# What ends a word, a quotation or a comment that it may have been put into.
OPENING = ("", "'", '"', "\\", "`", "\\'", "'\"'\"'", "$'")

# What then runs something, in one shell or another.
RUNNING = (
    f"$({DO})",
    f"`{DO}`",
    f"({DO})",
    f";{DO};",
    f";{DO} #",
    f"|{DO}|",
    f"||{DO}||",
    f"&&{DO}&&",
    f"&{DO}&",
    f"\n{DO}\n",
    f"\r\n{DO}\r\n",
    f"${{x:-$({DO})}}",
    f"$(({DO}))$({DO}",
    f"<({DO})",
    f"=({DO})",
    ">pwned",
    "<>pwned",
    "{touch,pwned}",
    f"!{DO}",
    f"^x^{DO}^",
    f"-exec {DO} ;",
    f"--use-compress-program={DO}",
    f"\x1b[2J\t\x7f{DO}",
    f"\udcff\udcfe;{DO}\u2028‘;{DO}’",
    f"*?[a-z]*~$IFS;{DO}",
)

NASTY = tuple(
    f"{before}{text}{before[::-1]}" if before else text for before in OPENING for text in RUNNING
)

# These must make the file where they are put into a command as they are, whatever the shell.
CERTAIN = (f"x;{DO};", f"x|{DO}", f"x\n{DO}\n")

"""The programs that are known to only read, and how those must be called that can do more. Pure.

Rule: a list here names what is known. What a program may be given besides, an option or an argument
that the text does not tell, makes the call one that is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from opsnb.core.shellwords import UNKNOWN, Word

# Whatever their arguments are. Those in the last lines are the shell's own.
_FREE = """
    ls cat tac head tail wc nl cut tr comm cmp diff join paste fold fmt expand unexpand rev column
    od hexdump strings base64 md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum sum
    grep egrep fgrep zcat bzcat xzcat zstdcat zgrep jq
    stat du df lsblk findmnt mountpoint namei getfacl readlink realpath basename dirname locate
    ps pgrep pidof pstree pmap top free vmstat iostat mpstat lsof netstat uptime nproc lscpu lsmem
    w who whoami id groups users last uname tty getent getconf printenv which whereis
    seq sleep expr factor numfmt yes
    echo printf test [ true false : cd pwd type exit return break continue shift wait set umask
    ulimit times unset
"""
FREE = frozenset(_FREE.split())

Judge = Callable[[Sequence[Word]], Word | None]


def _unsaid(word: Word) -> bool:
    """Whether a word may be an option that the text does not tell."""
    return word.hidden or (word.text.startswith("-") and UNKNOWN in word.text)


def _without(short: str, *long: str) -> Judge:
    """A program that only reads unless it is given one of some options."""

    def judge(arguments: Sequence[Word]) -> Word | None:
        for word in arguments:
            text = word.text
            if text == "--":
                break
            name = text[2:].partition("=")[0]
            if _unsaid(word):
                return word
            # An option's name may be cut short, and letters may stand together.
            if text.startswith("--") and any(option.startswith(name) for option in long):
                return word
            if re.match(r"-[^-]", text) and set(text[1:]) & set(short):
                return word
        return None

    return judge


def _find(arguments: Sequence[Word]) -> Word | None:
    acts = ("-delete", "-exec", "-ok", "-fprint", "-fls")
    return _first(arguments, lambda word: _unsaid(word) or word.text.startswith(acts))


def _uniq(arguments: Sequence[Word]) -> Word | None:
    """Its second file is written."""
    files = 0
    for before, word in zip(["", *(word.text for word in arguments)], arguments, strict=False):
        option = word.text.startswith("-") and word.text != "-"
        files += not option and before not in ("-f", "-s", "-w")
        if word.hidden or files > 1:
            return word
    return None


def _date(arguments: Sequence[Word]) -> Word | None:
    before = ""
    for word in arguments:
        shows = word.text.startswith("+") or re.fullmatch(r"-[uR]+|-[dr].+|-I\w*", word.text)
        told = before in ("-d", "-r") or word.text in ("-d", "-r")
        long = re.match(r"--(date|reference|iso-8601|rfc-3339|utc)\b", word.text)
        if word.splits or not (shows or told or long):
            return word
        before = "" if before in ("-d", "-r") else word.text
    return None


def _hostname(arguments: Sequence[Word]) -> Word | None:
    shows = r"-[fsdiIAa]+|--(fqdn|long|short|domain|ip-address|all-fqdns|all-ip-addresses|alias)"
    return _first(arguments, lambda word: not re.fullmatch(shows, word.text))


def _systemctl(arguments: Sequence[Word]) -> Word | None:
    """The verb comes first: what stands before it might take it for its value."""
    verbs = "status show cat list-[a-z-]+ is-[a-z-]+ get-default".replace(" ", "|")
    before = r"--user|--system|--no-pager|--full|--all|--failed|--no-legend|--plain|-[laq]+"
    for word in arguments:
        if re.fullmatch(verbs, word.text):
            return None
        if not re.fullmatch(before, word.text):
            return word
    return None


# A sed command that neither writes nor runs anything: an address or two, and p, d, q, = or s.
_ADDRESS = r"(?:\d+|\$|/(?:\\.|[^/\\\n])*/)"
_SED = re.compile(
    rf"\s*(?:{_ADDRESS}(?:,\s*{_ADDRESS})?)?\s*!?\s*"
    r"(?:[pdq=]|s([/|,#:@])(?:\\.|(?!\1)[^\\\n])*\1(?:\\.|(?!\1)[^\\\n])*\1[gpiI0-9]*)\s*(?:[;\n]|$)"
)


def _sed(arguments: Sequence[Word]) -> Word | None:
    before, scripts = "", 0
    for word in arguments:
        text = word.text
        if scripts and text == "--":
            return None
        if _unsaid(word):
            return word
        if re.fullmatch(r"-[nErsuz]*e", before) or (not scripts and not text.startswith("-")):
            scripts += 1
            if not _edits(text):
                return word
        elif text.startswith("-") and not re.fullmatch(r"-[nErsuz]*e?", text):
            return word
        before = text
    return None


def _edits(script: str) -> bool:
    at = 0
    while at < len(script):
        match = _SED.match(script, at)
        if not match:
            return False
        at = match.end()
    return True


def _awk(arguments: Sequence[Word]) -> Word | None:
    """What follows its program is data. The program may neither write nor run anything."""
    before = ""
    for word in arguments:
        if word.splits:
            return word
        if before in ("-F", "-v") or re.match(r"-[Fv].", word.text):
            before = ""
        elif word.text in ("-F", "-v"):
            before = word.text
        else:
            program = word.text.replace("||", "").replace(">=", "")
            acts = re.search(r"[>|@]|system|getline", program)
            return word if acts or UNKNOWN in program or program.startswith("-") else None
    return None


def _first(arguments: Sequence[Word], wrong: Callable[[Word], object]) -> Word | None:
    return next((word for word in arguments if wrong(word)), None)


JUDGES: dict[str, Judge] = {
    "find": _find,
    "sort": _without("o", "output", "compress-program"),
    "tree": _without("o", "output"),
    "file": _without("C", "compile"),
    "ss": _without("KD", "kill", "diag"),
    "dmesg": _without(
        "cCDEn", "clear", "read-clear", "console-level", "console-off", "console-on"
    ),
    "journalctl": _without(
        "", "vacuum-size", "vacuum-time", "vacuum-files", "rotate", "flush", "sync",
        "relinquish-var", "smart-relinquish-var", "setup-keys", "update-catalog", "cursor-file",
    ),
    "uniq": _uniq,
    "date": _date,
    "hostname": _hostname,
    "systemctl": _systemctl,
    "sed": _sed,
    "awk": _awk,
}  # fmt: skip

# Programs that run another one: their options without and with a value of its own, and how many
# words stand between those and the command.
WRAPPERS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "time": (r"-p", (), 0),
    "nice": (r"-n?-?\d+", ("-n",), 0),
    "timeout": (r"--foreground|--preserve-status|-v|-[ks]\w+", ("-k", "-s"), 1),
    "env": (r"-i|-", ("-u",), 0),
    "command": (r"-[pvV]", (), 0),
    "xargs": (
        r"-[0rt]+|-[nLP]\d+|-[Id]\S+|--null|--no-run-if-empty", ("-n", "-L", "-P", "-I", "-d"), 0
    ),
}  # fmt: skip


def unwrapped(name: str, arguments: Sequence[Word]) -> list[Word] | None:
    """The command that another program runs; None when that is not known.

    Args:
        name: The other program; one of :data:`WRAPPERS`.
        arguments: What it was given.
    """
    flags, taking, between = WRAPPERS[name]
    words = list(arguments)
    while words and words[0].text.startswith("-"):
        if words[0].splits or not (words[0].text in taking or re.fullmatch(flags, words[0].text)):
            return None
        del words[: 2 if words[0].text in taking else 1]
    if any(word.splits for word in words[:between]):
        return None
    inner = words[between:]
    if name == "command" and any(word.text in ("-v", "-V") for word in arguments[:1]):
        return []
    # xargs adds words that nobody has seen yet.
    return [*inner, Word(inner[0].line, "…", UNKNOWN, True)] if name == "xargs" and inner else inner

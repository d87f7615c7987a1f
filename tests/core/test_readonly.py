"""Which scripts are known to only read, and what else about the others is said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.readonly import LONGEST, Guard, judge
from opsnb.errors import ConfigError

READS = [
    "ls -la",
    "/bin/ls; /usr/bin/stat current",
    "cat REVISION | head -n 3 | sort -rn -k2,2 | uniq -c",
    "tail -n 50 log/app.log 2>/dev/null || echo none",
    "grep -rn 'rm -rf / > x; $(rm)' . >/dev/null 2>&1",
    'echo "it\'s > here; rm x" # rm -rf here',
    "find . -name '*.log' -mtime +3 -printf '%p\\n'",
    "find releases/* -maxdepth 0 -type d",
    "df -h .; du -sh -- * | sort -h",
    'for r in releases/*; do\n  echo "$r"; du -sh "$r"\ndone',
    'while IFS= read -r line; do echo "$line"; done < REVISION',
    "if [ -d current ] && ! test -L x; then readlink current; else echo no; fi",
    "until false; do sleep 1; break; done",
    'echo "$(date -u +%s)" $(readlink current) `pwd`',
    "n=$(ls releases | wc -l); echo $((n * (2 + 1))) ${n:-0} ${n%.*} ${#n}",
    "{ ls; (cd shared && pwd); } | cat",
    "ps aux --sort=-%mem | head -5 &\nwait",
    "date -d '2 days ago' +%F; date --utc; date -I; date -r current",
    "id; uptime; free -m; hostname -f; env; LC_ALL=C env A=1 sort x",
    "timeout 5 nice -n 10 grep x y; time ls; command -v php; xargs -0 -n1 stat < names",
    "awk -F: -v n=3 'NR >= n || $1 == \"x\" {print $1, $2}' /etc/passwd",
    "sed -n -e '1,20p' -e '/error/p' app.log; sed 's/a/b/gI; $d' x; sed -nE 's|/x|y|p' x",
    "systemctl --no-pager status nginx; systemctl is-active php-fpm; journalctl -u nginx -n 20",
    'sort -- "$f"; sort ./"$f"; find ./"$d" -type f',
    "ls \\\n  -l",
    "set -eu; export LC_ALL=C; cd releases && ls",
    "cat <&0 >&2; echo x >&-",
    "ss -tlnp; file -b x; tree -L 2; dmesg -T",
    "true",
]

# ruff: noqa: E501 - each line is a script and what of it is not known
CHANGES = {
    "rm x": ["rm x"],
    "sudo ls": ["sudo"],
    "ls > out.txt": ["> out.txt"],
    "ls >> out; ls >| out2; cat <> rw": [">> out", ">| out2", "<> rw"],
    "ls &> out": ["> out"],
    "ls 2>err": ["> err"],
    "ls >&out": [">& out"],
    "echo $(rm x)": ["rm"],
    'echo "a `rm x`"': ["rm"],
    'echo "${x:-$(rm y)}"': ["the expansion"],
    "echo ${x@P}": ["the expansion"],
    "echo $'a\\'b'": ["the expansion"],
    "x=$(touch y)": ["touch"],
    "cat < $(rm x)": ["rm"],
    "for f in $(rm x); do ls; done": ["rm"],
    "for PATH in /tmp; do ls; done": ["setting PATH"],
    "PATH=/tmp:$PATH ls": ["setting PATH="],
    "LD_PRELOAD=./x.so ls; export PATH=/x; read PATH": ["setting LD_", "setting PATH", "setting PATH"],
    "find . -delete": ["find -delete"],
    "find . -name x -exec rm {} +": ["find -exec"],
    "find . -execdir a \\;; find . -ok a \\;": ["find -execdir", "find -ok"],
    "find . -fprint0 x; find . -fls y": ["find -fprint0", "find -fls"],
    'find "$d"': ['find "$d", whose value'],
    "find . $x; find *; find . '-del'\"ete\"": ["find $x", "find *", "find '-del'"],
    'find . "-$x"': ['find "-$x"'],
    'find . "$@"; find . "${@}"': ['find "$@"', 'find "${@}"'],
    "find {-delete,.}": ["find {-delete,.}"],
    "sort -o x y; sort -ruox y; sort --outp=x y; sort y --out x": ["sort -o", "sort -ruox", "sort --outp", "sort --out"],
    "sort --compress-program=./x y": ["sort --compress-program"],
    "uniq in out; uniq - out": ["uniq out", "uniq out"],
    "date -s 12:00; date 01020304": ["date -s", "date 01020304"],
    "hostname new; hostname -F f; hostname -b": ["hostname new", "hostname -F", "hostname -b"],
    "env rm x; env -S 'rm x'": ["rm", "env -S"],
    "time rm x; nice rm; timeout 5 rm; command rm; xargs rm": ["rm"] * 5,
    "xargs find; xargs sort": ["find …", "sort …"],
    "nice $n ls": ["$n"],
    "sed -i s/a/b/ x; sed p x -i; sed 's/a/b/w out' x": ["sed -i", "sed -i", "sed 's/a/b/w"],
    "sed 's/a/b/e'; sed 'w out'; sed -f x; sed '1e rm'": ["sed 's", "sed 'w", "sed -f", "sed '1e"],
    "awk '{print > \"x\"}'; awk '{system(\"rm\")}'; awk '{print | \"sh\"}'": ["awk '", "awk '", "awk '"],
    "awk -f prog; awk \"$p\"; awk '\"date\" | getline'": ["awk -f", 'awk "$p"', "awk '"],
    "systemctl restart nginx; systemctl -t status restart x": ["systemctl restart", "systemctl -t"],
    "journalctl --vacuum-time=1d; journalctl --rot; dmesg -c; ss -K": ["journalctl", "journalctl", "dmesg -c", "ss -K"],
    "eval ls; . ./x; source x; exec ls; trap 'rm x' EXIT; alias ls=rm": ["eval", ".", "source", "exec", "trap", "alias"],
    "ls() { rm \"$@\"; }; ls": ["a function"],
    "case $x in a) ls;; esac": ["case", "a function or a case"],
    "cat <<EOF\n$(rm x)\nEOF": ["what follows <<"],
    "$cmd x; \"$y\" z; ./ls; l*": ["$cmd", '"$y"', "./ls", "l*"],
    "echo 'x": ["a ' that is never closed"],
    'echo "x': ['a " that is never closed'],
    "echo $(ls": ["a $( that is never closed"],
    "echo `a \\` b`": ["the substitution"],
    "if rm x; then ls; fi; while touch y; do rm z; done": ["rm", "touch", "rm"],
    "! rm x && { rm y; } || (rm z)": ["rm", "rm", "rm"],
    "ls | tee out": ["tee"],
    "ls \\\n&& r\\\nm x": ["r\\"],
    "echo $((rm x); ls)": ["rm"],
    "echo a;rm b": ["rm"],
    "echo a&rm b": ["rm"],
    "echo a\nrm b": ["rm (line 2)"],
    "r''m x": ["r''m"],
    "\\rm x": ["\\rm"],
    "x=1 rm y": ["rm"],
    "cat <(rm x)": ["what follows <"],
    "file -C -m x; tree -o x": ["file -C", "tree -o"],
}  # fmt: skip


@pytest.mark.parametrize("script", READS)
def test_what_only_reads_is_known(script: str) -> None:
    assert judge(script).unknown == ()


@pytest.mark.parametrize("script", CHANGES)
def test_what_may_change_something_is_named(script: str) -> None:
    unknown = judge(script).unknown
    assert not judge(script).reads_only
    for what in CHANGES[script]:
        assert any(what.split(" (")[0].replace("rm x", "rm") in found for found in unknown), unknown


def test_every_part_is_named_once_with_its_line() -> None:
    judged = judge("ls\nrm a\nrm b; touch c\necho $(\n  mv x y\n) > z\nrm d")
    assert judged.unknown == (
        "rm (line 2)",
        "rm (line 3)",
        "touch (line 3)",
        "mv (line 5)",
        "> z (line 6)",
        "rm (line 7)",
    )


def test_what_is_said_of_a_script_is_safe_to_show() -> None:
    assert judge("ls > \x1b[31m").unknown == ("> \\x1b[31m",)


# --- the words of a script against a real shell -------------------------------------------------

PIECES = [
    "a",
    "'b c'",
    '"d e"',
    '"f\\"g"',
    "\\ ",
    "\\\\",
    "h\\\ni",
    '"j\\\nk"',
    "'l\"m'",
    '"n\'o"',
    "r#p",
    '"\\q"',
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4), max_size=4))
def test_literal_words_are_what_a_shell_makes_of_them(words: list[list[str]]) -> None:
    from opsnb.core.shellwords import Word, split

    script = "printf '<%s>' " + " ".join("".join(pieces) for pieces in words)
    ran = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    found = [token.text for token in split(script) if isinstance(token, Word)][2:]
    assert ran.stdout == "".join(f"<{text}>" for text in found or [""])


def test_what_is_known_to_only_read_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "releases/1").mkdir(parents=True)
    (tmp_path / "REVISION").write_text("x")
    before = tree(tmp_path)
    for script in READS:
        run(script, tmp_path)
        assert tree(tmp_path) == before
    for control in ("rm REVISION", "ls > out", "find releases -delete"):
        assert not judge(control).reads_only
        run(control, tmp_path)
        assert tree(tmp_path) != before
        before = tree(tmp_path)


def run(script: str, folder: Path) -> None:
    subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )


def tree(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.lstat().st_mtime_ns) for path in folder.rglob("*"))


# --- permission ----------------------------------------------------------------------------------

FREE = Guard("web1", "staging", type_name=False)
STRICT = Guard("web1", "production", type_name=True, options=("--change", "--change {}"))


def test_what_only_reads_needs_no_permission() -> None:
    assert FREE.permit("ls", False).reads_only
    assert STRICT.permit("ls", False).reads_only


def test_a_change_must_be_said_to_be_one() -> None:
    with pytest.raises(ConfigError, match=r"not known to only read: rm; > y") as refused:
        FREE.permit("rm x; ls > y", False)
    assert "change=True" in refused.value.hint
    assert "no sandbox" in refused.value.hint
    assert not FREE.permit("rm x", True).reads_only


def test_where_the_environment_asks_for_it_the_name_is_typed() -> None:
    with pytest.raises(ConfigError, match=r"web1 \(production\) needs that name typed") as refused:
        STRICT.permit("rm x", True)
    assert refused.value.hint == "--change web1"
    with pytest.raises(ConfigError, match="not known to only read"):
        STRICT.permit("rm x", False)
    STRICT.permit("rm x", "web1")


def test_another_name_than_the_servers_is_refused_everywhere() -> None:
    for guard in (FREE, STRICT):
        with pytest.raises(ConfigError, match="needs that name typed"):
            guard.permit("rm x", "web2")


@pytest.mark.parametrize("script", ["", " \n", "a\0b", "echo " + "x" * LONGEST])
def test_what_is_no_command_is_refused(script: str) -> None:
    with pytest.raises(ConfigError, match="command"):
        FREE.permit(script, True)


def test_where_everything_is_read_only_nothing_that_may_change_it_is_run() -> None:
    from dataclasses import replace

    from opsnb.errors import ReadOnly

    guard = replace(FREE, read_only="somebody said so")
    assert guard.permit("ls", change=True).reads_only
    with pytest.raises(ReadOnly, match="not known to only read") as caught:
        guard.permit("rm x", change=True)
    assert "somebody said so" in caught.value.hint

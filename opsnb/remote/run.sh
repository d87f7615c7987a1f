# Runs a command of the user's on the server, in a session of its own; see command.py.
#
# It is sent down the standard input of `exec /bin/sh -s`, after lines that set N (a nonce), D
# (deploy_to), W (where below it; empty for current, or deploy_to where there is none), L (seconds
# that it may take) and S (the command). Nothing follows: a byte, or the end, means that it is to stop.
#
# A mark is "N NUMBER" on both streams: 0 when it begins in W, 1 when it begins in deploy_to, 97 when
# there is no such directory; and when it has ended, its exit status.
#
# Rule: the process group never outlives the command, its deadline or its client.

mark() { printf '%s %s\n' "$N" "$1" >&2; printf '%s %s\n' "$N" "$1"; }
over() { kill -TERM 0; sleep 2; kill -KILL 0; }

run() {
    exec 3<&0 </dev/null
    trap : TERM
    ( trap '' TERM; read -r x; over ) <&3 >/dev/null 2>&1 &
    ( trap '' TERM; sleep "$L"; over ) 3<&- >/dev/null 2>&1 &
    b=0
    cd "$D/${W:-current}" 2>/dev/null || { b=1; [ -z "$W" ] && cd "$D" 2>/dev/null; } || b=97
    mark "$b"
    [ "$b" = 97 ] || { /bin/sh -c -- "$S" cell 3<&-; mark "$?"; }
    kill -KILL 0
}
run

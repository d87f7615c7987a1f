# Runs a command of the user's on the server, in a session of its own; see command.py.
#
# It is sent down the standard input of `exec /bin/sh -s`, after lines that set opsnb_nonce,
# opsnb_root (deploy_to), opsnb_where (where below it; empty for current, or for deploy_to where there
# is none), opsnb_seconds (that it may take) and opsnb_script. Nothing follows: a byte, or the end,
# means that it is to stop.
#
# A mark is the nonce and a number, on both streams. The first: 0 when it begins in opsnb_where, 1 in
# deploy_to, 97 when there is no such directory. The second: its exit status.
#
# Rule: the process group never outlives the command, its deadline or its client.

mark() {
    printf '%s %s\n' "$opsnb_nonce" "$1" >&2
    printf '%s %s\n' "$opsnb_nonce" "$1"
}
over() { kill -TERM 0; sleep 2; kill -KILL 0; }

run() {
    exec 3<&0 </dev/null
    trap : TERM
    ( trap '' TERM; read -r opsnb_word; over ) <&3 >/dev/null 2>&1 &
    ( trap '' TERM; sleep "$opsnb_seconds"; over ) 3<&- >/dev/null 2>&1 &
    opsnb_at=0
    cd "$opsnb_root/${opsnb_where:-current}" 2>/dev/null ||
        { opsnb_at=1; [ -z "$opsnb_where" ] && cd "$opsnb_root" 2>/dev/null; } || opsnb_at=97
    mark "$opsnb_at"
    [ "$opsnb_at" = 97 ] || { /bin/sh -c -- "$opsnb_script" cell 3<&-; mark "$?"; }
    kill -KILL 0
}
run

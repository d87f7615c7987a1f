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
    printf '%s %s\n' "$opsnb_nonce" "$1" >&4
    printf '%s %s\n' "$opsnb_nonce" "$1"
}
over() { kill -TERM 0; sleep 2; kill -KILL 0; }

run() {
    # What this shell itself says (of a command that a signal ended) is not the command's.
    exec 3<&0 </dev/null 4>&2 2>/dev/null
    trap : TERM
    ( trap '' TERM; read -r opsnb_word; over ) <&3 >/dev/null 4>&- &
    ( trap '' TERM; sleep "$opsnb_seconds"; over ) 3<&- >/dev/null 4>&- &
    opsnb_at=0
    cd "$opsnb_root/${opsnb_where:-current}" ||
        { opsnb_at=1; [ -z "$opsnb_where" ] && cd "$opsnb_root"; } || opsnb_at=97
    mark "$opsnb_at"
    if [ "$opsnb_at" != 97 ]; then
        ( exec /bin/sh -c -- "$opsnb_script" cell 2>&4 3<&- 4>&- )
        mark "$?"
    fi
    kill -KILL 0
}
run

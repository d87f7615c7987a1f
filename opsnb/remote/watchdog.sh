# The watchdog: it puts the release before back when nobody confirms the one that was published.
#
# It is sent to a shell in a session of its own, behind the functions of agent.sh, whose place in the
# switch is publish_guarded. Lines before it set what it works with (see core/watch.py): guard_token and
# guard_group of the change that it guards, guard_seconds, guard_release (what was published),
# guard_previous, guard_who (how it describes itself as a holder of the lock), guard_bad (a record) and
# guard_intent, and the pieces of two lines of the log, begun_* and done_*. D comes from its starter.
#
# Rule 1: whoever renames the mark .opsnb/watch/TOKEN has decided: opsnb, that the release is confirmed,
# or the watchdog, that it is not. There is nothing between.
# Rule 2: the lock is taken from the change that it guards, and from no other: whoever else takes it
# finds the mark, and puts the release before back himself.
# Rule 3: visitors come first: what cannot be written down does not keep it from the switch.
# Rule 4: time is counted in sleeps, since a clock can jump.

leads_to() { [ "$(readlink current)" = "releases/$1" ]; }
# Whether the change that it guards, or a step of it, still has the lock.
in_hand() {
    t='' && read -r t <.opsnb/token
    [ "$t" = "$guard_token" ] && ! ( exec 8<.opsnb/lock && flock -n -s 8 )
}
nap() { sleep 1 7>&- 9>&-; }

guard() {
    mark=.opsnb/watch/$guard_token
    # Held for as long as it lives: so a look knows whether it does.
    cd "$D" && [ -f "$mark" ] && exec 7<"$mark" && flock -n 7 || exit 1
    trap '' HUP INT QUIT TERM PIPE ALRM USR1 USR2 TSTP TTIN TTOU
    echo ready
    exec </dev/null >/dev/null 2>&1
    wait_for_word
    mv -T "$mark" "$mark.fired" || exit 0
    until seized; do
        [ -e "$mark.fired" ] || exit 0
        if in_hand; then ( break_lock "$guard_group" "$guard_token" ); else nap; fi
    done
    put_back
    drop_lock
}

# Until the time is up and the release is live. Where it is not live yet, its change may be about to
# switch for as long as it has the lock.
wait_for_word() {
    seconds=0
    until [ "$seconds" -ge "$guard_seconds" ] && leads_to "$guard_release"; do
        [ "$seconds" -lt "$guard_seconds" ] || in_hand || exit 0
        nap
        [ -e "$mark" ] || exit 0
        seconds=$((seconds + 1))
    done
}

# Take the lock as every change does. On a disk where even its holder cannot be written down, the lock
# itself will do.
seized() {
    take "$guard_who"
    case $? in
    0)
        # Nobody gives signs of life to this holder.
        kill -KILL "$W"
        W=
        ;;
    91) return 1 ;;
    *)
        ( : >>.opsnb/lock ) && exec 9>>.opsnb/lock && flock -n 9 && ! by_sftp || return 1
        T='' && read -r T <.opsnb/token
        ;;
    esac
}

put_back() {
    if ! leads_to "$guard_release"; then
        ( forget "watch/$guard_token.fired" )
        return
    fi
    [ -d "releases/$guard_previous" ] || return
    ( store intent.json "$guard_intent" )
    [ -z "$guard_bad" ] || ( store "records/$guard_release.json" "$guard_bad" )
    ( entry "$begun_at" "$begun_prev" "$begun_self" "$begun_rest" )
    tries=0
    until ( publish "$guard_previous" "releases/$guard_release" "w$tries" ) || leads_to "$guard_previous"; do
        rm -f .opsnb/reserve
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || return
        nap
    done
    # What could not be written down, the mark tells the next change.
    ( entry "$done_at" "$done_prev" "$done_self" "$done_rest" ) || return
    ( forget intent.json "watch/$guard_token.fired"; flush )
}

# A line of the log, of the pieces around the time, the digest of the line before, and its own.
entry() {
    before=$(tail -n 1 .opsnb/audit.jsonl | tr -d '\n' | sha256sum)
    text=$1$(date -u +%Y-%m-%dT%H:%M:%SZ)$2${before%% *}$3
    own=$(printf '%s' "$text$4" | sha256sum)
    append "$text\"self\": \"${own%% *}\", $4"
}

guard
exit

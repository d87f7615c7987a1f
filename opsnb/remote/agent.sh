# opsnb's agent: what runs on the server, in one long-lived /bin/sh.
#
# It is sent down the standard input of a /bin/sh after two lines that set N (a nonce) and D
# (deploy_to), without its comments and indentation (see agent.py): no line of a quoted text may begin
# with "#", or with blanks that count.
# Then each line is a call: the name of a function below and its quoted arguments. After a call that
# begins with "< " a payload follows, which is the function's standard input: frames of a line with
# a length, and so many bytes; "0" ends it, "x" gives it up.
# A call that begins with "& " is taken only if the one before it ended with 0. One that begins with "= "
# is taken at the same time as the one after it, and answered after that; its payload comes after both.
# The reply is what the function prints, then "NONCE STATUS" on a line of its own, on both streams.
#
# Rule 1: a function that changes something calls `fence` first: it runs only under the lock.
# Rule 2: file names travel in payloads, ended by NUL; only names that opsnb made are arguments.
# Rule 3: every decision was made before; nothing here chooses.
#
# Exit statuses: 87 the site is not as it was seen, 88 a release stays that was to go, 89 not confirmed in time, 90 what was to be made of another file could not be, 91 locked, 92 lock lost, 93 the
# lock has changed hands, 94 current is not as expected, 95 that release is live, 96 something could
# not be removed, 97 no such release, 98 not taken, since the call before it had failed, 99 content
# is not as planned.

LC_ALL=C
export LC_ALL
unset CDPATH ENV BASH_ENV TAR_OPTIONS GZIP
T=
W=
M=
P=
U=
O=
B=0
C=0
S=0
NL='
'
SOH=$(printf '\001')

say() { printf '%s\n' "$*" >&2; }
field() { printf '%s\0%s\0' "$1" "$2"; }

# --- payloads --------------------------------------------------------------------------------

# A sign of life is any change of this file: no two may be alike. C counts calls, B frames of one.
beat() { printf '%s\n' "$1" >"$D/.opsnb/beat"; } 2>/dev/null

# Copy the payload to standard output. When the client dies in the middle, so does everything here:
# nobody may act on half a payload.
recv() {
    while read -r n <&3; do
        case $n in
        0 | x) return ;;
        '' | *[!0-9]*) kill -KILL 0 ;;
        esac
        # Large frames in small blocks: a program for each block would take longer than the line.
        dd bs=65536 count="$n" iflag=fullblock,count_bytes 2>/dev/null <&3 || kill -KILL 0
        B=$((B + 1))
        [ -z "$T" ] || beat "u$C.$B"
    done
    kill -KILL 0
}

# Take a call that reads the payload, and swallow what it leaves: a call is only ever read where a
# call begins. When it has failed, tell the client to stop sending.
with_payload() {
    ( eval "$1" )
    s=$?
    [ "$s" = 0 ] || enough
    cat >/dev/null
    return "$s"
}
enough() { printf '%s stop %s\n' "$N" "$C" >&2; }

# Run a function, and compress what it prints; a full stop says that all of it is there.
packed() {
    how=$1
    shift
    { s=$( { { ( "$@" ); printf '%s' "$?" >&6; printf .; } | pack "$how" >&5; } 6>&1 ); } 5>&1
    return "$s"
}
pack() { case $1 in zstd) zstd -1 -q -c ;; gzip) gzip -1 -c ;; esac; }

# --- looking: reads only ---------------------------------------------------------------------

lacks() {
    for tool in find sort comm tar cp mv ln rm mkdir chmod cat dd readlink xargs stat tail id sleep \
        awk flock sync sha256sum mktemp cut cmp wc touch; do
        command -v "$tool" >/dev/null 2>&1 || printf '%s\n' "$tool"
    done
    find / -maxdepth 0 -printf '' 2>/dev/null || echo 'find -printf (GNU findutils)'
    printf 'a\0' | sort -z 2>/dev/null | comm -z -13 /dev/null - >/dev/null 2>&1 ||
        echo 'sort -z and comm -z (GNU coreutils 8.25)'
    sha256sum -z /dev/null >/dev/null 2>&1 || echo 'sha256sum -z (GNU coreutils 8.25)'
    tar --version 2>/dev/null | grep -q 'GNU tar' || echo 'GNU tar'
    t=$(mktemp -d 2>/dev/null) || { echo 'a temporary directory'; return; }
    (
        cd "$t" || exit
        ln -s a x && ln -s b y && mv -T y x 2>/dev/null && [ "$(readlink x)" = b ] ||
            echo 'mv -T (GNU coreutils or BusyBox)'
        cp -a --reflink=auto x z 2>/dev/null || echo 'cp --reflink=auto (GNU coreutils)'
        sync -f /dev/null 2>/dev/null || echo 'sync -f (GNU coreutils 8.24)'
        rm -rf --one-file-system z 2>/dev/null || echo 'rm --one-file-system (GNU coreutils)'
    )
    rm -rf "$t"
}

look() {
    field missing "${M%.}"
    field user "$U"
    p=$D
    while ! [ -e "$p" ] && ! [ -L "$p" ]; do p=${p%/*}; [ -n "$p" ] || p=/; done
    field above "$p"
    [ -d "$p" ] || { field odd 1; return 0; }
    field packers "$P"
    field tools "$O"
    field room "$(stat -f -c '%a %S %d %T' -- "$p")"
    [ -w "$p" ] && [ -x "$p" ] && field writable 1
    [ "$p" = "$D" ] || return 0
    # Without GNU's find nothing can be listed, and nothing will be done.
    case $M in *-printf*) return 0 ;; esac
    cd "$D" || return 1
    # What cannot be read fails the look: it must not be taken for something that is not there.
    set -- .
    for p in releases/ shared/ .opsnb/ .opsnb/trash/ .opsnb/records/ current; do
        if [ -e "$p" ] || [ -L "$p" ]; then set -- "$@" "$p"; fi
    done
    # All directories at once: a program costs more than what it looks at. Of the records only those
    # that a power cut has left empty: `records` tells what is in the others.
    find "$@" -maxdepth 1 -ignore_readdir_race \
        -path current -printf 'current\0%y%Y%l\0' \
        -o -path '.opsnb/records/?*' ! \( -type f -name '*.json' -size 0 \) -o -printf 'in %H\0%y %T@ %P\0' || return
    [ ! -d releases ] || { [ -w releases ] && [ -x releases ]; } || field closed releases
    field real "$(cd current 2>/dev/null && pwd -P)"
    field base "$(cd releases 2>/dev/null && pwd -P)"
    [ ! -d .opsnb ] || ours
}

ours() {
    field ours 1
    records || return
    if [ -e .opsnb/lock ] && ! ( exec 8<.opsnb/lock && flock -n -s 8 ) 2>/dev/null; then
        field holder "$(text .opsnb/holder.json)"
    elif by_sftp; then
        field holder "$(text "$h/holder.json")"
    fi
    told hold .opsnb/hold.json && told intent .opsnb/intent.json &&
        told pending .opsnb/config/pending/journal && told adoption .opsnb/adoption.json || return
    if [ -f .opsnb/audit.jsonl ]; then t=$(tail -n 1 .opsnb/audit.jsonl) && field tail "$t" || return; fi
    [ -w .opsnb ] || field readonly 1
    watched
    ! [ -d .opsnb/spare/tree ] || told spare .opsnb/spare/record
}

# The SHA-256 of what is there of all that a look tells and a change rests on, and when that was, in
# seconds since this machine began. What taking the lock makes is not part of it, but that somebody has
# taken it is. What cannot be read is like nothing that was seen before.
fingerprint() {
    t=0
    [ ! -f "$D/.opsnb/token" ] || read -r t <"$D/.opsnb/token"
    traits "$t" | sha256sum && since_boot
}
since_boot() { read -r now more </proc/uptime && printf '%s' "${now%%.*}"; }
traits() {
    printf '%s\0' "$1"
    cd "$D" 2>/dev/null || return 0
    r=$(cd current 2>/dev/null && pwd -P) && printf '%s %s\0' "$r" "$(cd releases 2>/dev/null && pwd -P)"
    set -- .
    for p in releases/ shared/ .opsnb/ .opsnb/trash/ .opsnb/records/ .opsnb/spare/ .opsnb/config/ .opsnb/watch/; do
        [ ! -d "$p" ] || set -- "$@" "$p"
    done
    # In the order of the directories: where that is another, it is another.
    find "$@" -mindepth 1 -maxdepth 1 \
        \( -path ./releases -o -path ./shared -o -path ./.opsnb -o -path '.opsnb/*' ! -path '.opsnb/*/*' \
        \( -type d -o -name lock -o -name token -o -name beat -o -name holder.json -o -name reserve \) \) \
        -o -path '.opsnb/*' -printf '%y %m %s %C@ %i %p\0' -o -printf '%y%Y %p %l\0' || printf '!%s' "$T"
}
# Nothing where the site is as it was then, which was a moment ago: what comes late was given up. Else a
# look. For nothing it is always that.
look_unless() { # [FINGERPRINT WHEN]
    if [ -n "$1" ] && now=$(since_boot) && [ $((now - $2)) -le 20 ]; then
        [ "$(traits $((T - 1)) | sha256sum)" != "$1  -" ] || return 0
    fi
    look || return
    [ -z "$1" ] || return 87
}

# The marks of watchdogs: a for one whose watchdog is alive, d for the others, and the mark.
watched() {
    for w in .opsnb/watch/[0-9]*; do
        [ -f "$w" ] || continue
        if ( exec 8<"$w" && flock -n -s 8 ) 2>/dev/null; then s=d; else s=a; fi
        field "watch ${w##*/}" "$s $(text "$w")"
    done
}

# Beside a running change a record may go between its name and its content.
records() {
    for t in 1 2 3; do
        set -- .opsnb/records/*.json
        [ -e "$1" ] || return 0
        r=$(grep -aH '' "$@" 2>/dev/null)
        case $? in
        0) field records "$r"; return ;;
        1) return 0 ;;
        esac
    done
    say '.opsnb/records cannot be read'
    return 1
}

text() { [ -f "$1" ] && tr -d '\0' <"$1"; }
told() { [ ! -f "$2" ] || { t=$(text "$2") && field "$1" "$t"; } || [ ! -e "$2" ]; }

# One line for each path below a release; see core/listing.py.
survey() {
    cd "$D/releases/$1" || exit 97
    stat_all
}
stat_all() { # [CONDITION...]
    {
        find . -mindepth 1 "$@" \( -type d -printf 'd %m 0 0 0 0 %P\0' \
            -o -type f -printf 'f %m %s %T@ %C@ %i:%n %P\0' \
            -o -type l -printf 'l 0 %s %T@ %C@ %i %l/%P\0' \
            -o -printf '%y %m 0 0 0 0 %P\0' \) || printf '! 0 0 0 0 0 unreadable\0'
    } | sort -z
}

# What a release was made to hold beyond its manifest, an empty line, and what has changed since.
changes() {
    s=$D/.opsnb/stats/$1 c=$D/.opsnb/carried/$1
    [ -d "$D/releases/$1" ] || exit 97
    [ -f "$s" ] || s=/dev/null
    [ ! -f "$c" ] || cat "$c" || return
    printf '\0'
    survey "$1" | comm -z -3 "$s" -
}

# The live release's name and the same of it; then a full stop.
live() {
    named
    printf '%s\0' "$n"
    if [ -n "$n" ]; then changes "$n"; fi && printf '.'
}

named() {
    r=$(cd "$D/current" 2>/dev/null && pwd -P) b=$(cd "$D/releases" 2>/dev/null && pwd -P)
    n=${r##*/}
    [ -n "$b" ] && [ "$r" = "$b/$n" ] || n=
}

# The live release's name, the record of the one kept aside, and what differs between the two.
# Whether it is still as it was when it left, its listing tells once it has become the new one. One is
# not told of in which somebody else may write to a directory: he could lead what is done in it astray.
# Where nobody may, nobody but its owner can change that later.
aside() {
    named
    cd "$D/.opsnb/spare" 2>/dev/null && [ -n "$n" ] || return 0
    [ -d tree ] && ! [ -L tree ] && [ -f stats ] && [ -f record ] && [ -f "$D/.opsnb/stats/$n" ] || return 0
    odd=$(find tree -type d \( ! -user "$U" -o -perm /022 \) -printf odd -quit -o -path tree -printf seen)
    [ "$odd" = seen ] || return 0
    printf '%s\0' "$n" && text record && printf '\0' && unlike stats "$D/.opsnb/stats/$n"
}
# The lines of one listing that are not the other's and, after a tab, those of the other alone.
# Only what a copy keeps counts: not the inode, and not the time of its change.
unlike() {
    bare "$1" | { bare "$2" | comm -z -3 /dev/fd/5 -; } 5<&0
}
# A release whose listing is gone is listed again.
bare() {
    if [ -f "$1" ]; then cat "$1"; else survey "${1##*/}"; fi | cut -z -d ' ' -f 1-4,7- | sort -z
}
spare_manifest() { cat "$D/.opsnb/spare/manifest"; }

stats() { cat "$D/.opsnb/stats/$1"; }
manifest() { cat "$D/.opsnb/manifests/$1"; }
audit() { [ ! -f "$D/.opsnb/audit.jsonl" ] || cat "$D/.opsnb/audit.jsonl"; }
hashes() { cd "$D/releases/$1" || exit 97; xargs -0 -r sha256sum -z --; }

# Regular files of a release as a tar stream; no link is followed at the end of a name.
fetch() {
    cd "$D/releases/$1" || exit 97
    tar -c -f - --format=gnu --hard-dereference --no-recursion --null --verbatim-files-from -T -
}

# What deploy_to really is, then of all files that patterns match, outside of it, the name, whether it
# may be read, and the text: at most 1 MB in all.
texts() {
    printf '%s\0' "$(cd "$D" 2>/dev/null && pwd -P)"
    # Without GNU's dd nothing is read; what is missing, a look tells.
    each_text "$@" 2>/dev/null | dd bs=65536 count=1048576 iflag=fullblock,count_bytes 2>/dev/null || :
}
# Without IFS a pattern becomes names, and nothing else.
each_text() {
    IFS=
    for pattern; do
        for path in $pattern; do
            if [ -f "$path" ] && [ -r "$path" ]; then
                printf '%s\0r\0' "$path"
                tr -d '\0' <"$path"
                printf '\0'
            elif [ -e "$path" ]; then
                printf '%s\0x\0\0' "$path"
            fi
        done
    done
}

# For each path below shared/ what it holds, and an empty name.
shared() {
    xargs -0 -r -n 1 /bin/sh -c '
        cd "$0/$1" 2>/dev/null && find . -mindepth 1 -maxdepth 1 -printf "%y%P\0"
        printf "\0"' "$D/shared"
}

# name, apparent bytes, bytes on disk, bytes that only this one holds, files; a line each. One half is
# measured beside the other, and waits in the pipe.
usage() {
    cd "$D" 2>/dev/null || return 0
    set -- releases/* releases/.[!.]*
    {
        some $(($# / 2)) $# "$@" | measured
        [ ! -d .opsnb/spare ] || taken 'kept aside' .opsnb/spare/
    } | {
        some 0 $(($# / 2)) "$@" | measured
        [ ! -d shared ] || taken shared shared/
        cat
    }
}
# Of paths those after a number of them and up to another, if they are there.
some() {
    from=$1 to=$2 i=0
    shift 2
    for p; do
        i=$((i + 1))
        [ "$i" -le "$from" ] || [ "$i" -gt "$to" ] || { ! [ -e "$p" ] && ! [ -L "$p" ]; } || printf '%s\0' "$p"
    done
}
measured() { xargs -0 -r /bin/sh -c "$MEASURED" sh | sizes; }
MEASURED='find "$@" \( ! -path "releases/*/*" -printf "R %f\n" \) -o -type f -printf "%i %n %b %s\n"'
taken() { { echo "R $1"; find "$2" -type f -printf '%i %n %b %s\n'; } | sizes; }
sizes() {
    awk 'function out() {
             if (name == "") return
             for (i in count) if (count[i] == links[i]) own += blocks[i]
             printf "%s\t%.0f\t%.0f\t%.0f\t%.0f\n", name, apparent, disk * 512, own * 512, files
             apparent = disk = own = files = 0
             split("", count); split("", links); split("", blocks)
         }
         $1 == "R" { out(); name = substr($0, 3); next }
         { files++; apparent += $4 }
         $2 == 1 { disk += $3; own += $3; next }
         { if (!($1 in count)) disk += $3
           count[$1]++; links[$1] = $2; blocks[$1] = $3 }
         END { out() }'
}

# --- who uses what: reads only ----------------------------------------------------------------

# What processes use of releases and of what is kept aside: what they work in, run, have open or have
# mapped. A line each: the path below deploy_to, the process's number, and its name, with tabs between
# them. A line with "!" when some could not be looked into. Where nothing could go, nobody looks.
used() {
    real=$(cd "$D" 2>/dev/null && pwd -P) && cd "$D" && [ -d .opsnb ] || return 0
    set -- releases/*/ .opsnb/spare/tree/
    [ $# -gt 2 ] || [ -d "$2" ] || return 0
    [ -e /proc/1/stat ] || echo '!'
    for p in /proc/[0-9]*; do printf '%s\0' "$p"; done |
        timeout --foreground 10 xargs -0 -r -n 100 /bin/sh -c "$USED" "$real" 2>/dev/null |
        below="$real/" awk -F '\t' '
            BEGIN { b = ENVIRON["below"] }
            $2 == "" && $1 ~ /cwd$/ { unseen = 1 }
            index($2, b "releases/") == 1 || index($2, b ".opsnb/spare/") == 1 {
                split($1, at, "/")
                rest = substr($2, length(b) + 1)
                n = split(rest, part, "/")
                path = part[1] "/" part[2]
                if (n > 1 && !((path, at[3]) in told)) {
                    told[path, at[3]] = 1
                    name = ""
                    getline name <("/proc/" at[3] "/comm")
                    close("/proc/" at[3] "/comm")
                    print path "\t" at[3] "\t" name
                }
            }
            END { if (unseen) print "!" }'
}
# Line breaks in what is told become what no name is looked for with.
USED='for p do shift; set -- "$@" "$p/cwd" "$p/root" "$p/exe" "$p/fd"; done
    find "$@" -maxdepth 1 -type l -printf "%p\t%l\0" | tr "\n\0" "\1\n"
    for p do shift; case $p in */cwd) set -- "$@" "${p%cwd}maps" ;; esac; done
    grep -aFH -e "$0/releases/" -e "$0/.opsnb/spare/" "$@" | sed "s|:[^/]*|\t|"'

# --- the lock --------------------------------------------------------------------------------

# Whoever changes the site by SFTP alone has a directory in .opsnb/held, with a sign of life in it;
# see remote/sftp/lock.py. Who has given none for 40 s is dead.
by_sftp() {
    for h in .opsnb/held/*; do
        [ ! -e "$h" ] || [ -z "$(find "$h/beat" -newermt '-40 seconds' 2>/dev/null)" ] || return 0
    done
    return 1
}
rob_sftp() { # one that gives its lock back at this very moment takes it away itself
    for h in .opsnb/held/*; do
        [ ! -e "$h" ] || mv -T "$h" ".opsnb/trash/${h##*/}" || [ ! -e "$h" ] || return 1
    done
}

# The lock is flock(2) on descriptor 9. Every step inherits it, so a step of a dead change keeps
# the next holder out until it has ended. Hooks get it closed: what they leave behind holds nothing.
take() {
    try_to_take "$1" && return
    s=$?
    T=
    exec 9>&-
    return "$s"
}
try_to_take() {
    [ -d "${D%/*}/" ] || mkdir -p "${D%/*}/" || return 1
    for path in "$D" "$D/releases" "$D/shared"; do
        [ -d "$path" ] || made "$path" || [ -d "$path" ] || return 1
    done
    cd "$D" || return 1
    for path in records manifests stats carried trash; do
        [ -d ".opsnb/$path" ] || mkdir -p ".opsnb/$path" || return 1
    done
    ( : >>.opsnb/lock ) || return 1
    tries=0
    while :; do
        exec 9>>.opsnb/lock
        if flock -n 9; then
            [ "$(stat -c %i .opsnb/lock)" = "$(stat -L -c %i /proc/self/fd/9)" ] && break
        fi
        exec 9>&-
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || return 91
        sleep 0.1
    done
    ! by_sftp || return 91
    room
    torn=
    mend_log || return 1
    T=0
    [ ! -f .opsnb/token ] || read -r T <.opsnb/token
    case $T in '' | *[!0-9]*) T=0 ;; esac
    T=$((T + 1))
    printf '%s\n' "$T" >.opsnb/tmp.token && mv -T .opsnb/tmp.token .opsnb/token || return 1
    printf '{"token": %s, "pid": %s, %s\n' "$T" "$$" "$1" >.opsnb/tmp.holder &&
        mv -T .opsnb/tmp.holder .opsnb/holder.json || return 1
    beat "s$T"
    # Each looks for the other's lock after it has taken its own: at the most one goes on.
    if by_sftp; then
        rm -f .opsnb/holder.json
        return 91
    fi
    rob_sftp || return 1
    watch &
    W=$!
    printf '%s %s%s\n' "$T" "$$" "$torn"
}

# A full disk must not keep anybody from pruning it or from going back: 64 KiB are held in reserve,
# and given up when there is no more, for what a change writes about itself.
room() {
    if ( printf '%65536s' '' >.opsnb/tmp.room ) 2>/dev/null; then
        mv -T .opsnb/tmp.room .opsnb/reserve
    else
        rm -f .opsnb/tmp.room .opsnb/reserve
    fi
}

# End the whole change when its client is gone (writing fails), is frozen (no sign of life for
# 30 s, counted in sleeps, since a clock can stand still), or has been robbed of the lock.
watch() {
    trap '' PIPE
    exec 9>&- 3<&-
    still=0 last=
    while sleep 1; do
        printf '%s beat\n' "$N" >&2 || break
        now='' && read -r now <.opsnb/beat
        if [ "$now" = "$last" ]; then still=$((still + 1)); else still=0 last=$now; fi
        [ "$still" -lt 30 ] || break
        t='' && read -r t <.opsnb/token
        [ "$t" = "$T" ] || break
    done
    kill -KILL 0
}

fence() {
    t=
    [ -n "$T" ] && read -r t <"$D/.opsnb/token" && [ "$t" = "$T" ] && cd "$D" ||
        { say 'the lock has been taken by somebody else'; exit 92; }
}

drop_lock() {
    ( fence && rm -f .opsnb/holder.json )
    [ -z "$W" ] || kill "$W" 2>/dev/null
    T= W=
    exec 9>&-
}

# The next three run beside the holder, in another shell: no fence. To dash and BusyBox "--" is no end
# of kill's options, but a process's number.
alive() { t='' && read -r t <"$D/.opsnb/token" && [ "$t" = "$1" ] && beat "c$2"; }
end_change() { [ "$1" -gt 1 ] && t='' && read -r t <"$D/.opsnb/token" && [ "$t" = "$2" ] && kill -KILL "-$1"; }
break_lock() {
    cd "$D" || exit 97
    t='' && read -r t <.opsnb/token
    [ "$t" = "$2" ] || { say 'the lock has changed hands meanwhile'; exit 93; }
    printf '%s\n' "$(($2 + 1))" >.opsnb/tmp.token && mv -T .opsnb/tmp.token .opsnb/token || exit 1
    [ "$1" -gt 1 ] && kill -KILL "-$1" 2>/dev/null
    rob_sftp || exit 1
    tries=0
    until ( exec 8>>.opsnb/lock && flock -n 8 ); do
        tries=$((tries + 1))
        if [ "$tries" -ge 20 ]; then
            : >.opsnb/tmp.lock && mv -T .opsnb/tmp.lock .opsnb/lock
            break
        fi
        sleep 0.1
    done
    rm -f .opsnb/holder.json
}

# --- changing: only under the lock -----------------------------------------------------------

# What is short comes as an argument, without its last line break: a payload costs four processes.
store() {
    fence
    private "$1"
    if [ $# -gt 1 ]; then printf '%s\n' "$2"; else cat; fi >".opsnb/tmp.$T" ||
        { say 'not written: is the disk full?'; return 1; }
    placed "$1"
}
# A digest of a file that holds a secret says whether a guess is right: nobody else may read it.
private() { case $1 in manifests/* | config/* | tmp.config/*) umask 077 ;; esac }
# What takes the place of something is on the disk before it does: after a power cut there must be
# the one or the other, and not an empty file.
placed() {
    [ ! -e ".opsnb/$1" ] || sync ".opsnb/tmp.$T" || return
    mv -T ".opsnb/tmp.$T" ".opsnb/$1"
}
# The same of what was packed, for what is long; its SHA-256 says whether all of it came out.
store_packed() {
    fence
    private "$1"
    unpacked "$2" cat >".opsnb/tmp.$T" || { say 'not written: is the disk full?'; return 1; }
    hashed "$3"
    placed "$1"
}
hashed() {
    sum=$(sha256sum <".opsnb/tmp.$T")
    [ "${sum%% *}" = "$1" ] || exit 90
}
# A file by how it differs from another: "- LINE" goes, "+ LINE TEXT" comes before that line. Its
# SHA-256 says whether the other was what it was taken for.
edit() {
    fence
    private "$1"
    [ -f ".opsnb/$2" ] || exit 90
    awk 'NR == FNR && $1 == "-" { gone[$2]; next }
         NR == FNR { n = $2; sub(/^[^ ]* [^ ]* /, ""); more[n] = more[n] $0 "\n"; next }
         { printf "%s", more[FNR]; if (!(FNR in gone)) print; last = FNR }
         END { printf "%s", more[last + 1] }' - ".opsnb/$2" >".opsnb/tmp.$T" || return
    hashed "$3"
    placed "$1"
}
forget() { fence; for path; do rm -f ".opsnb/$path"; done; }
# A line of the log is there as a whole or not at all, also on a full disk.
append() {
    fence
    l=.opsnb/audit.jsonl
    if [ $# -gt 0 ]; then printf '%s\n' "$1"; else cat; fi >>"$l" && return
    # Before it there was a line break: what comes after the last one is its beginning.
    [ ! -s "$l" ] || [ -z "$(tail -c 1 "$l")" ] || cut_log
    say 'not written: is the disk full?'
    return 1
}
# A power cut may leave a last line that is cut short or empty of what it said. It is put aside: no
# line could follow it that would not look forged.
mend_log() {
    l=.opsnb/audit.jsonl
    [ -s "$l" ] || return 0
    t=$(tail -n 1 "$l" | tr '\0' '\1' && echo .) || return
    case $t in
    *"$SOH"*) ;;
    '{'*"}$NL.") return ;;
    esac
    { tail -n 1 "$l"; echo; } >>.opsnb/audit.torn && cut_log && torn=' torn'
}
cut_log() {
    dd if=/dev/null of="$l" bs=1 seek="$(($(stat -c %s "$l") - $(tail -n 1 "$l" | wc -c)))" 2>/dev/null
}

# The record is on the disk before the directory is, so that a directory of ours is never unknown.
# What stands there already is not ours, and gets no record that would make it ours.
begin() {
    fence
    [ ! -e "releases/$1" ] && [ ! -L "releases/$1" ] || { say "releases/$1 is there already"; exit 1; }
    new=$1
    shift
    # Closed to everybody else until it is built: paths in it then lead nowhere but where we look.
    store "records/$new.json" "$@" && sync ".opsnb/records/$new.json" && mkdir -m 700 "releases/$new"
}
made() { mkdir "$1" && chmod a+rx "$1"; }
# Let others in: as into the release it was made of, or as the umask has it.
open_up() {
    fence
    new=releases/$1 like=releases/$2
    [ -n "$2" ] || { chmod +rwx,a+rx "$new"; return; }
    { [ -O "$like" ] && [ -G "$like" ]; } 2>/dev/null ||
        chown --reference="$like" "$new" 2>/dev/null || chgrp --reference="$like" "$new" 2>/dev/null
    chmod --reference="$like" "$new"
}

# What is in a release, one by one: with the release itself, its mode would come, and let others in.
# The payload are paths at which or below which something is to be done, sorted. While it was copied
# somebody may have put a link there, which would lead that astray.
copy() {
    fence
    case $3 in hardlink) how=-al ;; *) how='-a --reflink=auto' ;; esac
    [ -d "releases/$2" ] &&
        find "releases/$1" -mindepth 1 -maxdepth 1 -exec cp $how -t "releases/$2" {} + || return
    passable "$2" || { say 'somebody has put a link where a directory was'; return 1; }
}
# Whether paths of a release, those above others first, are no links. A directory that we may not write
# to is given that; what is missing will do.
passable() {
    links=$( cd "releases/$1" && xargs -0 -r /bin/sh -c "$PASSABLE" sh 2>/dev/null ) && [ -z "$links" ]
}
PASSABLE='find "$@" -maxdepth 0 -type l -printf l -o -type d ! -perm -700 -exec chmod u+rwx {} \;
    [ $? -le 1 ]'
# The release that was kept aside becomes the new one: nothing is copied. The payload is that of copy: a
# link there could lead whatever is done next out of the tree. What else was done in it, its listing tells.
recycle() {
    fence
    ! mounted_below .opsnb/spare/tree || { say 'something is mounted in it'; exit 90; }
    [ -d "releases/$1" ] && [ -d .opsnb/spare/tree ] && ! [ -L .opsnb/spare/tree ] &&
        chmod 700 .opsnb/spare/tree && mv -T .opsnb/spare/tree "releases/$1" &&
        mv -T .opsnb/spare/stats .opsnb/tmp.spare && rm -rf .opsnb/spare || return
    passable "$1" || { say 'somebody has put a link where a directory was'; exit 90; }
}
# Copy paths of another release: what links lead to, or links. A link in the place of a directory
# would lead astray what comes after it. What tar could not read is missed by the check that follows.
# Directories that were brought are given what writing below them takes.
bring() {
    fence
    case $3 in links) how= ;; *) how=--dereference ;; esac
    tar -c -f - --format=posix --pax-option=delete=atime,delete=ctime -C "releases/$1" $how \
        --null --verbatim-files-from --no-recursion -T - |
        untar "$2" || return
    [ "$3" != dirs ] || open_dirs "releases/$2"
}
drop() { fence; cd "releases/$1" && xargs -0 -r /bin/sh -c "$DROP" "$(id -u)"; }
# What cannot be removed as it is may stand below a directory that we may not write to.
# Give ourselves what writing below directories takes; not below what others may write to: by the time
# of the chmod a link could stand there.
OPEN_DIRS='find "$@" -type d \( ! -perm -700 -exec chmod u+rwx {} \; -o -true \) \( ! -user "$who" -o -perm /022 \) -prune'
open_dirs() { who=$U && eval "$OPEN_DIRS"; } # DIRECTORY [OPTION...]
DROP='who=$0
    rm -rf --one-file-system -- "$@" 2>/dev/null && exit
    '$OPEN_DIRS'
    rm -rf --one-file-system -- "$@"'
unpack() {
    fence
    unpacked "$2" untar "$1"
}
# The same of files whose names are lines, each hashed while those after it still come; $3 is the
# SHA-256 of all their digests. What tar names, it has not written yet: the one before, it has.
unpack_verified() {
    fence
    unpacked "$2" untar_verified "$1" "$3" && flush_early
}
untar_verified() {
    well=.opsnb/tmp.$T.well
    sum=$(
        { untar "$1" -v --quoting-style=literal && : >"$well"; } |
            awk 'NR > 1 { print "./" last } { last = $0 } END { if (NR) print "./" last }' |
            ( cd "releases/$1" && hash_many '-d\n' 500 )
    )
    [ -f "$well" ] && rm -f "$well" || return 1
    as_planned "$2"
}
as_planned() { [ "${sum%% *}" = "$1" ] || { say 'the content is not as planned'; exit 99; }; }
# The disk may begin with what is to be flushed in the end; from where it uses no release.
flush_early() { ( cd "$D" && exec sync -f . ) >/dev/null 2>&1 </dev/null 3<&- 9>&- & }
# Give a function what was packed in some way, or not at all.
unpacked() {
    how=$1
    shift
    case $how in zstd) zstd -d -q -c | "$@" ;; gzip) gzip -d -c | "$@" ;; *) "$@" ;; esac
}
untar() {
    to=releases/$1
    shift
    tar -x -p -f - --no-same-owner --delay-directory-restore --warning=no-timestamp -C "$to" "$@"
}
# A file of what stands at its place in another release, and of what is sent. Each step is a line:
# "take FROM TO LENGTH", or "put TO LENGTH" and then so many bytes; "end" comes last.
patch() {
    fence
    was=releases/$1/$4 new=.opsnb/tmp.$T.patch
    [ -f "$was" ] && ! [ -L "$was" ] || exit 90
    rm -f "$new"
    unpacked "$3" patching && chmod "$5" "$new" && touch -d "@$6" "$new" && mv -T "$new" "releases/$2/$4" || exit 90
}
patching() {
    while read -r step a b c; do
        case $step in
        take)
            if [ "$a" = 0 ] && [ "$b" = 0 ] && [ "$c" = "$(stat -c %s "$was")" ]; then
                cp --reflink=auto "$was" "$new" && chmod u+w "$new"
            else
                dd if="$was" of="$new" bs=1048576 iflag=fullblock,skip_bytes,count_bytes \
                    oflag=seek_bytes skip="$a" seek="$b" count="$c" conv=notrunc 2>/dev/null
            fi || return 90
            ;;
        put)
            dd of="$new" bs=65536 iflag=fullblock,count_bytes oflag=seek_bytes seek="$a" count="$b" \
                conv=notrunc 2>/dev/null || { say 'not written: is the disk full?'; return 1; }
            ;;
        end) return ;;
        *) return 1 ;;
        esac
    done
    return 1
}
# Whether the files named hold what they must: the SHA-256 of all their digests.
verify() {
    fence
    cd "releases/$1" || exit 97
    [ "$3" = few ] || flush_early
    sum=$("hash_$3")
    as_planned "$2"
}
# openssl hashes three times as fast as sha256sum, but takes a while to start. Both tell the same of
# names without a line break or a backslash; whether this openssl does, two files say.
digester() {
    none=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    two="$none */dev/null
$none */dev/null"
    [ "$(openssl dgst -sha256 -r /dev/null /dev/null 2>/dev/null)" = "$two" ] &&
        echo 'openssl dgst -sha256 -r' || echo 'sha256sum -b --'
}
hash_few() { xargs -0 -r sha256sum -z -- | sort -z | sha256sum; }
hash_large() { xargs -0 -r -n 1 -P "$(cores)" /bin/sh -c "$LARGE" sh | sort -z | sha256sum; }
LARGE='h=$(openssl dgst -sha256 -r <"$1" 2>/dev/null) && [ "${#h}" -ge 64 ] || h=$(sha256sum <"$1") || exit
    printf "%s  %s\0" "${h%% *}" "$1"'
# On several cores; each writes a file of its own, since they would break each other's lines.
hash_many() { # [how names end, how many at a time]
    h=$D/.opsnb/tmp.hash.$T
    rm -rf "$h" && mkdir "$h" || return
    xargs "${1:--0}" -r -n "${2:-2000}" -P "$(cores)" /bin/sh -c "$(digester)"' "$@" >>"$0/$$"' "$h"
    find "$h" -type f -exec cat {} + | sort | sha256sum
    rm -rf "$h"
}
cores() { n=$(nproc 2>/dev/null || echo 1) && [ "$n" -le 4 ] && echo "$n" || echo 4; }
modes() { fence; cd "releases/$1" && xargs -0 -r chmod -- "$2"; }
make_shared() { fence; cd shared && xargs -0 -r mkdir -p --; }
seed() {
    fence
    xargs -0 -r -n 1 /bin/sh -c '
        [ -e "shared/$1" ] || [ -L "shared/$1" ] && exit
        case $1 in */*) mkdir -p "shared/${1%/*}" || exit ;; esac
        mv -T "$0/$1" "shared/$1"' "releases/$1"
}
make_dirs() { fence; cd "releases/$1" && xargs -0 -r mkdir -p --; }
link() { fence; cd "releases/$1" && xargs -0 -r -n 2 ln -s -T --; }
# Keep how a release looks, and tell it: all of it, but for "=" where it looks as expected, or what is
# not as in the release named. Of one that was kept aside also what is not as it was when it left,
# before an empty line; or "=" where that is just as expected: all else is as it was.
finish() {
    fence
    survey "$1" >"$D/.opsnb/tmp.$T.stats" && cd "$D/.opsnb" && mv -T "tmp.$T.stats" "stats/$1" || return
    if [ -z "$2" ]; then
        if [ -n "$3" ] && looks_as "$3" <"stats/$1"; then printf =; else cat "stats/$1"; fi
        return
    fi
    if [ -f tmp.spare ]; then
        was=tmp.$T.altered
        comm -z -3 "stats/$1" tmp.spare >"$was" && rm tmp.spare || return
        if [ -n "$3" ] && looks_as "$3" <"$was"; then
            printf = && rm "$was"
            return
        fi
        cat "$was" && rm "$was" || return
    fi
    printf '\0'
    unlike "stats/$1" "stats/$2"
}
looks_as() { sum=$(cut -z -d ' ' -f 1-3,7- | sort -z | sha256sum) && [ "${sum%% *}" = "$1" ]; }
flush() { fence; sync -f .; }

publish() {
    fence
    [ -d "releases/$1" ] && ! [ -L "releases/$1" ] || exit 97
    now=
    if [ -L current ]; then now=$(readlink current); elif [ -e current ]; then exit 94; fi
    [ "$now" = "$2" ] || { say "current leads to $now"; exit 94; }
    ln -s -T "releases/$1" ".current.opsnb.$T.$3" && mv -T ".current.opsnb.$T.$3" current && sync -f .
}
# The same with a mark, and with what puts the release before back unless the mark is taken away in
# time: the payload, a script for a shell that shares nothing with this one. It has answered before
# the switch.
publish_guarded() {
    fence
    script=$(cat) || exit 1
    [ -d .opsnb/watch ] || mkdir .opsnb/watch || exit 1
    store "watch/$T" "$4" || exit
    told=$(printf '%s\n' "$script" | D=$D setsid /bin/sh -s opsnb-watchdog "$D" 2>/dev/null 3<&- 9>&- &)
    [ "$told" = ready ] || { say 'the watchdog did not begin'; exit 1; }
    publish "$1" "$2" "$3"
}
# Whoever renames the mark has decided; see watchdog.sh.
disarm() {
    fence
    mv -T ".opsnb/watch/$1" ".opsnb/tmp.$T" 2>/dev/null || { say 'the watchdog was quicker'; exit 89; }
    rm -f ".opsnb/tmp.$T"
}

# The payload sets the variables of a hook, which no argument shows, `opsnb_hook`, and a mark, which
# ends what it says and tells its status. It has ended when its own shell has: what it leaves behind
# has a pipe of its own for its words, and not our output.
hook() {
    fence
    script=$(cat) || exit 1
    cd "$1" || exit 97
    { ( hooked ) 2>&1 </dev/null; echo; } 3<&- 9>&- | heard
}
# In a shell of its own, whose number comes first.
hooked() {
    /bin/sh -c 'echo "$PPID"'
    eval "$script"
    ( exec /bin/sh -c "$opsnb_hook" )
    printf '\001%s %s\n' "$opsnb_mark" "$?"
}
# Copy what comes, as it comes, for as long as that shell is there, and then what it has left in the
# pipe. The line break after its end wakes whoever waits for more. What is said later goes nowhere: it
# must not end for that who says it.
heard() {
    read -r one || return
    while dd bs=65536 count=1 2>/dev/null && kill -0 "$one" 2>/dev/null; do :; done
    dd if=/dev/fd/0 iflag=nonblock bs=65536 count=16 2>/dev/null
    exec 4<&0
    $(command -v setsid) cat <&4 >/dev/null 2>&1 3<&- 4<&- 9>&- &
}

# A script that PHP runs once, in a directory below deploy_to. Where it stands is written down before it
# does: whoever comes after a crash takes it away.
place() {
    fence
    [ "$(cd "$1" 2>/dev/null && pwd -P)" = "$(pwd -P)/$1" ] || { say "$1 is no directory of its own"; exit 97; }
    printf '%s\n' "$1/$2" >>.opsnb/tmp.placed && sync .opsnb/tmp.placed && cat >"$1/$2" && chmod a+r "$1/$2" ||
        { say 'not written: is the disk full?'; displace; exit 1; }
}
unplace() { fence; displace; }
displace() {
    [ -f .opsnb/tmp.placed ] || return 0
    while read -r p; do
        case $p in
        *..*) ;;
        .opsnb/tmp.opsnb-*.php | releases/*/opsnb-*.php) rm -f "$p" || return ;;
        esac
    done <.opsnb/tmp.placed
    rm -f .opsnb/tmp.placed
}

# A release leaves by one rename; what then remains is nobody's. What has no record is not ours.
discard() {
    fence
    live=$(cd current 2>/dev/null && pwd -P)
    for name; do
        p=releases/$name
        if [ -d "$p" ] && ! [ -L "$p" ] && [ -f ".opsnb/records/$name.json" ]; then
            [ "$(cd "$p" && pwd -P)" != "$live" ] || { say "$name is live"; exit 95; }
            [ -w "$p" ] || chmod u+rwx "$p"
            mv -T "$p" ".opsnb/trash/$name.$T" || exit 96
        fi
        rm -f ".opsnb/records/$name.json" ".opsnb/manifests/$name" ".opsnb/manifests/$name.assets" \
            ".opsnb/stats/$name" ".opsnb/carried/$name"
    done
    sweep
}
# Whether in a listing a file has a second name, or others may write to a directory.
shares() {
    cut -z -d ' ' -f 1,2,6 "$1" | grep -z -q -e '^f [0-7]* .*:\([2-9]\|1.\)' \
        -e '^d [0-7]*[2367][0-7] ' -e '^d [0-7]*[2367] '
}
# Whether something is mounted below a directory. rm --one-file-system does not see a directory of
# the same file system that is mounted there. The kernel writes odd characters of a path in octal.
mounted_below() {
    [ -r /proc/self/mountinfo ] || return 1
    below=$(cd "$1" 2>/dev/null && pwd -P) && below="$below/" awk '
        BEGIN {
            b = ENVIRON["below"]
            gsub(/\\/, "\\134", b); gsub(/ /, "\\040", b); gsub(/\t/, "\\011", b); gsub(/\n/, "\\012", b)
        }
        index($5, b) == 1 { found = 1; exit }
        END { exit !found }' /proc/self/mountinfo
}
# Whether a rename into .opsnb is one.
near() { set -- $(stat -c %d -- "$1" .opsnb) && [ "$1" = "$2" ]; }
clear_spare() {
    fence
    [ ! -e .opsnb/spare ] || mv -T .opsnb/spare ".opsnb/trash/aside.$T" || exit 96
    sweep
}
# A release that leaves is kept aside for the next one to be made of, if it is whole.
retire() {
    fence
    p=releases/$1 s=.opsnb/spare
    [ -d "$p" ] || { discard "$1"; return; }
    [ "$(cd "$p" && pwd -P)" != "$(cd current 2>/dev/null && pwd -P)" ] || { say "$1 is live"; exit 95; }
    [ ! -e "$s" ] || mv -T "$s" ".opsnb/trash/spare.$T" || exit 96
    if [ -d "$p" ] && ! [ -L "$p" ] && [ -f ".opsnb/records/$1.json" ] && [ -w "$p" ] &&
        [ ! -s ".opsnb/carried/$1" ] && ! shares ".opsnb/stats/$1" && near "$p" && ! mounted_below "$p" && mkdir "$s" &&
        cp ".opsnb/records/$1.json" "$s/record" &&
        ln ".opsnb/manifests/$1" "$s/manifest" && ln ".opsnb/stats/$1" "$s/stats"; then
        mv -T "$p" "$s/tree" && chmod go-w "$s/tree" || exit 96
    fi
    discard "$1"
}
# Remove releases, in one way or the other, but for those that a process uses: these are told.
idle() {
    fence
    how=$1 busy="$NL$(used | cut -f 1)$NL"
    shift
    for name; do
        shift
        case $busy in *"${NL}releases/$name$NL"*) printf '%s\n' "$name" ;; *) set -- "$@" "$name" ;; esac
    done
    [ $# = 0 ] || "$how" "$@"
}
# The same, as a step that has failed where one stays.
all_idle() { stays=$(idle "$@") || exit; [ -z "$stays" ] || exit 88; }
sweep() {
    fence
    displace || exit 96
    rm -rf .current.opsnb.* .opsnb/tmp.*
    [ ! -d .opsnb/spare ] || [ -d .opsnb/spare/tree ] || rm -rf .opsnb/spare
    set -- .opsnb/trash/* .opsnb/trash/.[!.]*
    [ -e "$1" ] || [ -L "$1" ] || [ -e "$2" ] || [ -L "$2" ] || return 0
    ! mounted_below .opsnb/trash || { say 'something is mounted in .opsnb/trash'; exit 96; }
    open_dirs .opsnb/trash -mindepth 1 2>/dev/null
    find .opsnb/trash -mindepth 1 -maxdepth 1 -exec rm -rf --one-file-system {} + || exit 96
}

# --- configuration files in shared/ -----------------------------------------------------------

# Go to where a path below shared/ is, through no link; "leaf" is then its name there. Status 3: the
# directory is not there, 90: something else is. The path is opsnb's, and has no line break.
into() {
    cd -P "$D" 2>/dev/null || return 3
    top=$(pwd -P) rest=shared/$1
    while :; do
        case $rest in */*) part=${rest%%/*} rest=${rest#*/} ;; *) break ;; esac
        ! [ -L "./$part" ] || return 90
        if ! [ -d "./$part" ]; then
            ! [ -e "./$part" ] || return 90
            [ "$2" = make ] || return 3
            made "./$part" || return 90
        fi
        cd -P "./$part" || return 90
    done
    # Whoever has put a link there meanwhile has led us elsewhere.
    leaf=./$rest up=shared/$1
    [ "$(pwd -P)" = "$top/${up%/*}" ] || return 90
}
# For each path a line: "-" for nothing, "x WHY", or "f MODE SIZE SHA256"; then what was written last.
standing() {
    for path; do ( stands "$path" ) || return; done
    told written "$D/.opsnb/config/written"
}
stands() {
    into "$1" look
    case $? in
    0) ;;
    3) printf -- '-\0'; return ;;
    *) printf 'x a directory above it is a link, or none\0'; return ;;
    esac
    if [ -L "$leaf" ]; then printf 'x there is a link\0'
    elif ! [ -e "$leaf" ]; then printf -- '-\0'
    elif ! [ -f "$leaf" ]; then printf 'x there is no regular file\0'
    else
        set -- $(stat -c '%a %s %u' -- "$leaf") $(id -u)
        if [ "$3" != "$4" ] && [ "$4" != 0 ]; then printf 'x the file there is another user'"'"'s\0'
        elif ! h=$(sha256sum <"$leaf"); then printf 'x the file there cannot be read\0'
        else printf 'f %s %s %s\0' "$1" "$2" "${h%% *}"; fi
    fi
}
# What is to be placed, and what is there, are gathered in a place of ours; one rename says that they
# are whole. From then on whoever finds them puts back what was there, or leaves what came.
config_begin() {
    fence
    umask 077
    ! [ -e .opsnb/config/pending/journal ] || { say 'another change of it is not settled'; exit 1; }
    rm -rf .opsnb/tmp.config .opsnb/config/pending && mkdir -p .opsnb/config && mkdir .opsnb/tmp.config
}
# $1 its number, $2 the path, $3 the SHA-256 that it must have; empty for nothing there.
config_keep() {
    fence
    umask 077
    kept=$(pwd -P)/.opsnb/tmp.config/old.$1
    into "$2" look
    case $? in 0) ;; 3) [ -z "$3" ] || exit 99; return 0 ;; *) exit 90 ;; esac
    if [ -z "$3" ]; then ! [ -e "$leaf" ] && ! [ -L "$leaf" ] || exit 99; return 0; fi
    ours_there && cp -p -- "$leaf" "$kept" || exit 90
    h=$(sha256sum <"$kept") && [ "${h%% *}" = "$3" ] || { say "$2 has changed meanwhile"; exit 99; }
}
config_commit() {
    fence
    [ -f .opsnb/tmp.config/journal ] && sync .opsnb/tmp.config/* .opsnb/tmp.config &&
        mv -T .opsnb/tmp.config .opsnb/config/pending
}
ours_there() { ! [ -L "$leaf" ] && [ -f "$leaf" ]; }
# $1 its number, $2 its mode, $3 the path. Owner and group stay what they were.
config_place() {
    fence
    umask 077
    new=$(pwd -P)/.opsnb/config/pending/new.$1
    into "$3" make || { say "$3 is not where a file of ours can be"; exit 90; }
    { ! [ -e "$leaf" ] && ! [ -L "$leaf" ]; } || ours_there || exit 90
    { ! [ -e "$leaf" ] || chown --reference="$leaf" -- "$new"; } && chmod "$2" "$new" && swap "$new"
}
# A file takes the place of another: beside it under a name of its own first, so that it is a rename.
swap() {
    temporary=./.opsnb.$T.config
    rm -f "$temporary" && cp -p -- "$1" "$temporary" && sync "$temporary" &&
        mv -T "$temporary" "$leaf" && sync .
}
# $1 its number, $2 the path, $3 "was" when something was there.
config_back() {
    fence
    umask 077
    old=$(pwd -P)/.opsnb/config/pending/old.$1
    into "$2" look && ! [ -L "$leaf" ] || exit 90
    if [ "$3" = was ]; then [ -f "$old" ] && swap "$old"; else rm -f -- "$leaf" && sync .; fi
}
config_done() {
    fence
    for path; do ( into "$path" look && rm -f ./.opsnb.*.config ); done
    rm -rf .opsnb/tmp.done || return
    ! [ -e .opsnb/config/pending ] || mv -T .opsnb/config/pending .opsnb/tmp.done && rm -rf .opsnb/tmp.done
}

# --- taking over: see core/adoption.py -------------------------------------------------------

# What of a site was there before opsnb: beside its own four names, at current, or where that went.
theirs() {
    case $1 in
    plain) set -- "$D" ;;
    directory) set -- "$D/current" "$D/.opsnb/was" ;;
    esac
    for here; do
        if [ -d "$here" ] && { [ "$here" = "$D" ] || ! [ -L "$here" ]; }; then cd "$here"; return; fi
    done
    return 1
}
NOT_OURS='-mindepth 1 ( -path ./releases -o -path ./shared -o -path ./current -o -path ./.opsnb -o
    -path ./.current.opsnb.* ) -prune -o'
but_ours() { [ "$1" != plain ] || { set -f; printf '%s ' $NOT_OURS; }; }

# How it looks, and the same of shared/.
there() {
    ours=$(but_ours "$1")
    theirs "$1" || return 0
    set -f
    stat_all $ours
}
shared_there() { ! cd "$D/shared" 2>/dev/null || stat_all; }
kept() { [ ! -f "$D/.opsnb/$1" ] || cat "$D/.opsnb/$1"; }

# What the server can do: each a line.
able() {
    [ ! -L "$D" ] || echo link
    [ ! -L "$D/release" ] || echo release
    # Only root can give a copy to whom the original belongs.
    [ "$(id -u)" = 0 ] || [ -z "$(cd "$D" 2>/dev/null && timeout 2 find . -path ./.opsnb -prune -o ! -user "$U" -print -quit 2>/dev/null)" ] ||
        echo others
    t=$(mktemp -d 2>/dev/null) || return 0
    for how in mv python3 perl; do
        ( cd "$t" && rm -rf a b && mkdir a && ln -s x b && trade "$how" b a && [ -L a ] && ! [ -L b ] ) \
            >/dev/null 2>&1 && echo "$how"
    done
    rm -rf "$t"
}
# Let two names change places in one step: renameat2(2) with RENAME_EXCHANGE.
trade() {
    case $1 in
    mv) mv -T --exchange -- "$2" "$3" ;;
    python3) python3 -c "$SWAP_PYTHON" "$(uname -m)" "$2" "$3" ;;
    perl) perl -e "$SWAP_PERL" "$(uname -m)" "$2" "$3" ;;
    *) return 1 ;;
    esac
}
SWAP_PYTHON='import ctypes, os, sys
number = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "ppc64le": 357, "s390x": 347, "i686": 353, "armv7l": 382}
one, other = map(os.fsencode, sys.argv[2:])
call = ctypes.CDLL(None, use_errno=True).syscall
done = call(ctypes.c_long(number[sys.argv[1]]), -100, ctypes.c_char_p(one), -100, ctypes.c_char_p(other), 2)
sys.exit(os.strerror(ctypes.get_errno()) if done else 0)'
SWAP_PERL='my %number = qw(x86_64 316 aarch64 276 riscv64 276 ppc64le 357 s390x 347 i686 353 armv7l 382);
my $number = $number{$ARGV[0]} or exit 1;
syscall($number, -100, $ARGV[1], -100, $ARGV[2], 2) == 0 or die "$!\n"'

# Copy it into the release that is being built.
copy_theirs() {
    fence
    new=$D/releases/$1
    theirs "$2" || exit 97
    case $2 in
    plain)
        find . -mindepth 1 -maxdepth 1 ! -name releases ! -name shared ! -name current ! -name .opsnb \
            ! -name '.current.opsnb.*' -print0 | xargs -0 -r cp -a --reflink=auto -t "$new" --
        ;;
    # That opens it, too.
    *) cp -a --reflink=auto . "$new/" && chmod 700 "$new" ;;
    esac && find "$new" -type d ! -perm -700 -exec chmod u+rwx {} +
}
# Move paths of that copy into shared/, in place of what a cut-off adoption has left there.
share() {
    fence
    xargs -0 -r -n 1 /bin/sh -c '
        to=shared/$1
        case $1 in */*) mkdir -p "${to%/*}" || exit ;; esac
        if [ -e "$to" ] || [ -L "$to" ]; then mv -T "$to" ".opsnb/trash/shared.$$" || exit; fi
        mv -T "$0/$1" "$to"' "releases/$1" && sweep
}
unshare() {
    fence
    xargs -0 -r -n 1 /bin/sh -c '
        to=shared/$0
        if [ -e "$to" ] || [ -L "$to" ]; then mv -T "$to" ".opsnb/trash/shared.$$" || exit; fi
        while case $to in shared/*/*) ;; *) false ;; esac; do
            to=${to%/*}
            rmdir "$to" 2>/dev/null || break
        done' && sweep
}
exchange() {
    fence
    [ -d "releases/$1" ] && ! [ -L "releases/$1" ] || exit 97
    [ -d current ] && ! [ -L current ] || { say 'current is no directory any more'; exit 94; }
    [ ! -L .opsnb/was ] || rm .opsnb/was
    [ ! -e .opsnb/was ] || { say '.opsnb/was is there already'; exit 94; }
    ln -s -T "releases/$1" .opsnb/was && trade "$2" .opsnb/was current && sync -f .
}
exchange_back() {
    fence
    if [ -L current ] && [ -d .opsnb/was ] && ! [ -L .opsnb/was ]; then
        [ "$(readlink current)" = "releases/$1" ] || exit 94
        trade "$2" .opsnb/was current || return
    fi
    [ ! -L .opsnb/was ] || rm .opsnb/was
    sync -f .
}
unpublish() {
    fence
    [ ! -L current ] || { [ "$(readlink current)" = "releases/$1" ] || exit 94; rm current; }
    sync -f .
}
# Remove links by their paths; then what is still as the payload says, a line for each path.
remove_links() {
    fence
    theirs "$1" || exit 97
    xargs -0 -r /bin/sh -c 'for path; do [ ! -L "$path" ] || rm -f -- "$path"; done' sh
}
remove_theirs() {
    fence
    gone=$D/.opsnb/tmp.$T.gone
    ( there "$1" ) >"$gone.now" && sort -z | comm -z -12 - "$gone.now" >"$gone" && theirs "$1" || return
    grep -z -v '^[dl] ' "$gone" | cut -z -d ' ' -f 7- | xargs -0 -r rm -f --
    # What is deeper goes first; what is not empty stays.
    grep -z '^d ' "$gone" | cut -z -d ' ' -f 7- | sort -z -r | xargs -0 -r rmdir -- 2>/dev/null
    cd "$D" || return
    [ "$1" = plain ] || rmdir .opsnb/was 2>/dev/null
    rm -f "$gone" "$gone.now"
    sync -f .
}
# Give the lock back for good: nothing of ours stays.
drop_lock_for_good() {
    ( fence ) || return
    [ -z "$W" ] || kill "$W" 2>/dev/null
    W=
    cd "$D" || return
    for path; do [ "$path" = .opsnb ] || rmdir "$path" 2>/dev/null; done
    # Until the end it says what is to be done about the rest.
    find .opsnb -mindepth 1 -maxdepth 1 ! -name adoption.json ! -name lock ! -name token \
        -exec rm -rf --one-file-system {} + || return
    # A sign of life may come in between.
    rm -rf --one-file-system .opsnb || rm -rf --one-file-system .opsnb || return
    T=
    exec 9>&-
}

# --- the loop --------------------------------------------------------------------------------

reply() { printf '\n%s %s\n' "$N" "$1" >&2; printf '\n%s %s\n' "$N" "$1"; }

skip() {
    case $1 in '< '*) enough && recv >/dev/null ;; esac
    reply 98
}

run() { case $1 in '< '*) recv | with_payload "${1#< }" ;; *) ( eval "$1" ) ;; esac; }
# Two calls at the same time: what the second says waits in the pipe until the first has answered.
# What they complain about comes together. The status is the second's when the first has ended well.
pair() {
    { s=$( { { second "$2"; printf '%s' "$?" >&6; } | first "$1" >&5; } 6>&1 ) || return; } 5>&1
    return "${s:-1}"
}
first() {
    run "$1" </dev/null
    s=$?
    reply "$s"
    cat
    printf '\n%s 0\n' "$N" >&2
    return "$s"
}
second() {
    run "$1"
    s=$?
    printf '\n%s %s\n' "$N" "$s"
    return "$s"
}

# The script itself may come from standard input, so that is moved only once all of it has been read.
serve() {
    exec 3<&0 </dev/null
    reply "$$"
    # Once, while the client says what it wants.
    M=$(lacks; echo .)
    U=$(id -un 2>/dev/null) || U=$(id -u)
    P=$(for tool in zstd gzip; do command -v "$tool" >/dev/null 2>&1 && printf "%s " "$tool"; done)
    O=$(for tool in setsid timeout python3 curl wget bash nc; do
        command -v "$tool" >/dev/null 2>&1 && printf "%s " "$tool"
    done)
    beside=
    while IFS= read -r call <&3; do
        C=$((C + 1))
        case $call in
        '= '*)
            beside=${call#= }
            continue
            ;;
        '& '*)
            call=${call#& }
            if [ "$S" != 0 ]; then
                skip "$call"
                [ -z "$beside" ] || skip "$beside"
                beside=
                continue
            fi
            ;;
        esac
        if [ -n "$beside" ]; then
            pair "$call" "$beside"
            S=$? beside=
            continue
        fi
        case $call in
        take\ * | drop_lock*) eval "$call" ;;
        *) run "$call" ;;
        esac
        S=$?
        reply "$S"
    done
    [ -z "$T" ] || kill -KILL 0
    exit 0
}
serve

#!/bin/sh
# Defib's agent for Linux: reports this VM's figures to the Defib API, every 30 seconds.
#
# POSIX sh with curl (or GNU wget) and cat date df ls rm sleep tr uname; a report takes four or five.
# It reads, sends and waits; it writes its process id where it may, and never shows its key.
# What it sends, and what it does on each answer, is written down in PROTOCOL.md.
# Sourced with DEFIB_AGENT_SOURCED=1 it only defines its functions, so that tests can call them.
set -euf
export LC_ALL=C

version=0.1.0
nl='
'
# Where the figures come from, and what is remembered from report to report.
proc=/proc root=/ dmi=/sys/class/dmi/id/product_uuid
EPOCHSECONDS='' # where it is the shell's clock, it stays that
ticks='' idle_ticks='' sampled_at=0 now=0 warned=' ' trouble='' failures=0 wait_for=1
key='' tool=curl wgetrc='' sleeper='' phase=0 cpu='' others_hang=''
worst_at='' worst_used='' worst_total='' claimed='' mounts='' mounts_read=0
# Samples that could not be sent, oldest first, one a line: the second of uptime, a space, the report.
kept='' kept_count=0 kept_last=0 kept_most=120 batch=30 keeping=yes

usage() {
    cat <<USAGE
Usage: linux-agent.sh [--config FILE] [--once | --cron | --dry-run | --version | --help]

Reports this VM's figures to the Defib API until it is told to stop.
  --config FILE  read settings from FILE instead of /etc/defib/agent.conf
  --once         send one report and exit: 0 accepted, 1 not; CPU is measured over one second
  --cron         start, unless an agent runs here already; for a line in crontab
  --dry-run      print the report that would be sent, and send nothing

Settings are KEY=value lines; environment variables of the same names override them:
  DEFIB_URL          the API, such as https://defib.example.com (required)
  DEFIB_KEY_FILE     a file of mode 0600 with the agent's key (/etc/defib/agent.key)
  DEFIB_VMID         this VM's number in Proxmox; not needed where the SMBIOS UUID can be read
  DEFIB_NODE         the Proxmox node, if you want to name it
  DEFIB_HOSTNAME     report this name instead of the kernel's
  DEFIB_INTERVAL     seconds between reports, 1 to 120 (30)
  DEFIB_CA_FILE      trust this certificate authority (PEM)
  DEFIB_SMBIOS_FILE  read the SMBIOS UUID here instead of from $dmi
  DEFIB_VM           this VM's id in Defib, as enrolment answered: the key says which VM it is
  DEFIB_STATE_DIR    where the number of the running agent is written (/run/defib-agent)
USAGE
}

say() { printf 'defib-agent: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 78 # EX_CONFIG
}

warn_once() { # topic, text ...
    case $warned in *" $1 "*) return 0 ;; esac
    warned="$warned$1 "
    shift
    say "$*"
}

trim() { # text -> trimmed
    trimmed=${1#"${1%%[![:space:]]*}"}
    trimmed=${trimmed%"${trimmed##*[![:space:]]}"}
}

first_line() { # file -> line
    line=''
    [ -r "$1" ] || return 1
    { IFS= read -r line || [ -n "$line" ]; } 2>/dev/null <"$1"
}

all_digits() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

json_text() { # text -> quoted
    case $1 in
        *[!A-Za-z0-9._-]*) ;;
        *) quoted=\"$1\" && return 0 ;;
    esac
    quoted='' left=$1
    while [ -n "$left" ]; do
        character=${left%"${left#?}"} left=${left#?}
        case $character in
            [\"\\]) quoted=$quoted\\$character ;;
            ' ') quoted=$quoted\\u0020 ;; # a report is one word
            [[:cntrl:]]) quoted=$quoted$(printf '\\u%04x' "'$character") ;;
            *) quoted=$quoted$character ;;
        esac
    done
    quoted=\"$quoted\"
}

default_settings() {
    config_file=/etc/defib/agent.conf url='' key_file=/etc/defib/agent.key vmid='' node=''
    hostname='' interval=30 ca_file='' smbios_file=$dmi vm='' state_dir=/run/defib-agent
}

read_config() {
    number=0
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        trim "$line"
        case $trimmed in
            '' | '#'*) ;;
            [A-Z]*=*) read_setting "$trimmed" ;;
            *) say "$config_file, line $number: not of the form KEY=value, ignored" ;;
        esac
    done <"$config_file"
}

read_setting() { # a line KEY=value
    trim "${1%%=*}"
    name=$trimmed
    trim "${1#*=}"
    case $trimmed in
        \"*\" | \'*\') trimmed=${trimmed#?} trimmed=${trimmed%?} ;;
    esac
    set_option "$name" "$trimmed"
}

set_option() { # name, value
    case $1 in
        DEFIB_URL) url=$2 ;;
        DEFIB_KEY_FILE) key_file=$2 ;;
        DEFIB_VMID) vmid=$2 ;;
        DEFIB_NODE) node=$2 ;;
        DEFIB_HOSTNAME) hostname=$2 ;;
        DEFIB_INTERVAL) interval=$2 ;;
        DEFIB_CA_FILE) ca_file=$2 ;;
        DEFIB_SMBIOS_FILE) smbios_file=$2 ;;
        DEFIB_VM) vm=$2 ;;
        DEFIB_STATE_DIR) state_dir=$2 ;;
        *) say "$config_file, line $number: unknown setting $1, ignored; see --help" ;;
    esac
}

read_environment() {
    url=${DEFIB_URL:-$url} key_file=${DEFIB_KEY_FILE:-$key_file} vmid=${DEFIB_VMID:-$vmid}
    node=${DEFIB_NODE:-$node} hostname=${DEFIB_HOSTNAME:-$hostname}
    interval=${DEFIB_INTERVAL:-$interval} ca_file=${DEFIB_CA_FILE:-$ca_file}
    smbios_file=${DEFIB_SMBIOS_FILE:-$smbios_file} vm=${DEFIB_VM:-$vm}
    state_dir=${DEFIB_STATE_DIR:-$state_dir}
}

check_identity() {
    if [ -n "$vmid" ]; then
        all_digits "$vmid" && [ "${#vmid}" -ge 3 ] && [ "${#vmid}" -le 9 ] && [ "${vmid#0}" = "$vmid" ] ||
            die "DEFIB_VMID must be this VM's number in Proxmox (100 or more), not '$vmid'"
    elif [ -z "$smbios$vm" ]; then
        die "nothing says which VM this is: set DEFIB_VMID to its number in Proxmox, or let the" \
            "agent read its SMBIOS UUID ($smbios_file is missing, empty or readable by root only)"
    fi
    all_digits "$interval" && [ "${#interval}" -le 3 ] && [ "$interval" -ge 1 ] && [ "$interval" -le 120 ] ||
        die "DEFIB_INTERVAL must be 1 to 120 seconds, not '$interval'"
}

check_server() {
    case $url in
        *[[:space:]\"\\@?#]*) die "DEFIB_URL must be a plain address without user, query or fragment" ;;
        https://?*) ;;
        http://127.0.0.1 | http://127.0.0.1[:/]* | http://localhost | http://localhost[:/]*) ;;
        http://?*) say "DEFIB_URL is not https: the key and the figures travel unencrypted" ;;
        *) die "DEFIB_URL must be the API's address, such as https://defib.example.com, not '$url'" ;;
    esac
    while [ "$url" != "${url%/}" ]; do url=${url%/}; done
    [ -z "$ca_file" ] || [ -r "$ca_file" ] || die "DEFIB_CA_FILE: cannot read $ca_file"
    read_key || die "$key_problem"
}

# The key is held in a variable of this shell only. A file that others can read is refused.
read_key() { # -> key, or key_problem
    key_problem="cannot read $key_file; put the agent's key there, with mode 0600"
    first_line "$key_file" || return 1
    trim "$line"
    key_problem="others can read $key_file; run: chmod 0600 $key_file"
    case $(ls -lnL "$key_file") in ????------*) ;; *) return 1 ;; esac
    key_problem="the first line of $key_file is not a key"
    case $trimmed in '' | *[!!-~]* | *[\"\\]*) return 1 ;; esac
    key=$trimmed key_problem="cannot write $wgetrc, through which wget learns the key"
    [ "$tool" = curl ] ||
        printf 'header = Content-Type: application/json\nheader = X-API-Key: %s\n' "$key" >"$wgetrc"
}

choose_tool() { # -> tool, wgetrc
    case $(command -v printf) in
        printf) ;; # built in: what it is given shows in no process list
        *) die "this shell has no printf of its own and would show the key; use dash, bash or busybox sh" ;;
    esac
    tool=curl
    command -v curl >/dev/null && return 0
    case $(wget --version 2>/dev/null || :) in
        "GNU Wget 1."*) tool=wget ;;
        *) die "needs curl, or GNU wget 1.14 or newer (busybox's wget verifies no TLS and would show the" \
            "key); install one: apt-get install curl, dnf install curl, apk add curl" ;;
    esac
    trap 'rm -f "$wgetrc"' EXIT
    # A disk may be read-only, or so full that it takes an empty file and nothing in it; memory seldom is.
    for place in "$state_dir" /dev/shm "${TMPDIR:-/tmp}" /run; do
        wgetrc=$(umask 077 && mktemp "$place/defib-agent.XXXXXX" 2>/dev/null) || continue
        { printf '%01024d\n' 0 >"$wgetrc"; } 2>/dev/null && return 0
        rm -f "$wgetrc"
    done
    die "wget needs a place for a private file, and none can be written: $state_dir, /dev/shm, ${TMPDIR:-/tmp}"
}

# Figures, one function each: a figure that cannot be had is left empty, and then left out.

read_smbios() { # -> smbios
    smbios=''
    first_line "$smbios_file" || return 1
    trim "$line"
    case $trimmed in
        *[!0-9A-Fa-f-]* | 00000000-0000-0000-0000-* | [Ff][Ff][Ff][Ff][Ff][Ff][Ff][Ff]-*) return 1 ;;
        ????????-????-????-????-????????????) smbios=$trimmed ;;
        *) return 1 ;;
    esac
}

read_hostname() { # -> reported_name
    reported_name=$hostname
    [ -z "$hostname" ] || return 0
    first_line "$proc/sys/kernel/hostname" || line=$(uname -n) || :
    reported_name=$line
}

read_ticks() { # -> new_ticks, new_idle
    new_ticks='' new_idle=''
    [ -r "$proc/stat" ] || return 1
    read -r label user nice system idle iowait irq softirq steal _ <"$proc/stat" || return 1
    all_digits "$user$nice$system$idle$iowait$irq$softirq${steal:=0}" && [ "$label" = cpu ] || return 1
    new_ticks=$((user + nice + system + idle + iowait + irq + softirq + steal))
    new_idle=$((idle + iowait)) # guest time is part of user and nice already
}

# The share of time not idle since the sample before, which is a whole interval ago.
measure_cpu() { # -> cpu
    last=$cpu cpu=''
    if ! read_ticks || [ -z "$ticks" ] || [ "$new_ticks" -le "$ticks" ]; then
        # Two reports within one tick of the clock: the figure of the first still holds.
        [ "$new_ticks" != "$ticks" ] || [ $((now - sampled_at)) -gt 1 ] || cpu=$last
        [ -z "$cpu" ] || return 0
        warn_once cpu "cpuUsage is left out: $proc/stat tells nothing; the API will refuse the reports"
        return 0
    fi
    spent=$((new_ticks - ticks)) busy=$((new_ticks - ticks - new_idle + idle_ticks))
    [ "$busy" -ge 0 ] || busy=0 # the kernel's idle and iowait may step back a little
    [ "$busy" -le "$spent" ] || busy=$spent
    cpu=$((busy * 100 / spent)).$((busy * 1000 / spent % 10))
}

keep_sample() { ticks=$new_ticks idle_ticks=$new_idle sampled_at=$now; }

measure_ram() { # -> ram_used, ram_total
    ram_used='' ram_total='' total='' available=''
    [ ! -r "$proc/meminfo" ] || while read -r name value _; do
        case $name in
            MemTotal:) total=$value ;;
            MemAvailable:) available=$value && break ;;
        esac
    done <"$proc/meminfo"
    if all_digits "$total" && all_digits "$available" &&
        [ "$available" -le "$total" ] && [ "$total" -ge 1024 ]; then
        ram_used=$(((total - available) / 1024)) ram_total=$((total / 1024))
    else
        warn_once ram "ramUsage and ramTotal are left out: no MemTotal and MemAvailable in" \
            "$proc/meminfo; the API will refuse the reports"
    fi
}

# What hangs must not hang the agent: a silent agent looks like a dead VM. Takes the place of a subshell.
within() { # seconds, command ...
    ! command -v timeout >/dev/null || exec timeout -s KILL "$@"
    shift
    exec "$@"
}

run_df() { within 5 df -Pk "$@"; } # mount points

# The disks beside the root: local, writable, each device once, at most 16 of them. A mount point
# with odd characters is passed over, and so is everything where only the kernel writes.
list_mounts() { # -> mounts
    mounts='' devices=' ' mount_count=0
    [ -r "$proc/mounts" ] || return 0
    while read -r device mount_point kind options _; do
        case $kind in ext[234] | xfs | btrfs | zfs | f2fs | jfs | reiserfs | bcachefs | vfat) ;; *) continue ;; esac
        case $options in ro | ro,*) continue ;; esac
        [ "$mount_point" != / ] || devices="$devices$device "
        case $mount_point in / | *[!A-Za-z0-9/._-]*) continue ;; esac
        case $devices in *" $device "*) continue ;; esac
        [ "$mount_count" -lt 16 ] || break
        devices="$devices$device " mounts="$mounts $mount_point" mount_count=$((mount_count + 1))
    done <"$proc/mounts"
}

# One file system that hangs costs the others their figures, and only these: the root is asked alone then.
# The list of mounts changes seldom and can be long: it is read for every tenth report.
ask_df() { # -> answer
    [ -n "$others_hang" ] || [ "$mounts_read" -gt 0 ] || list_mounts
    mounts_read=$(((mounts_read + 1) % 10))
    # shellcheck disable=SC2086 # split into words; noglob is on
    { answer=$(run_df "$root" $mounts); } 2>/dev/null && return 0
    if [ -n "$mounts" ] && [ -z "$answer" ]; then
        others_hang=yes mounts=''
        warn_once mounts "only the root's disk figures are sent: df does not answer for all mounts"
    fi
    [ -n "$answer" ] || { answer=$(run_df "$root"); } 2>/dev/null || :
}

read_df_line() { # line -> size, used (kB), at; fails where it is none
    # shellcheck disable=SC2086 # split into words; noglob is on
    set -- $1
    [ $# -ge 6 ] && shift $(($# - 6)) && all_digits "$2$3" && [ "$3" -le "$2" ] && [ "$2" -ge 1024 ] &&
        size=$2 used=$3 at=$6
}

measure_disk() { # -> disk_used, disk_total, and worst_at, worst_used, worst_total where another is fuller
    disk_used='' disk_total='' worst_at='' worst_used='' worst_total='' worst=-1
    ask_df
    answer=${answer#*"$nl"}$nl
    while [ -n "$answer" ]; do
        row=${answer%%"$nl"*} answer=${answer#*"$nl"}
        read_df_line "$row" || continue
        permille=$((used * 1000 / size))
        [ "$at" != "$root" ] || disk_used=$((used / 1024)) disk_total=$((size / 1024))
        [ "$permille" -gt "$worst" ] || continue
        worst=$permille worst_at=$at worst_used=$((used / 1024)) worst_total=$((size / 1024))
    done
    [ "$worst_at" != "$root" ] || worst_at='' worst_used='' worst_total=''
    [ -n "$disk_total" ] ||
        warn_once disk "diskUsage and diskTotal are left out: df says nothing sensible about $root"
}

read_uptime() { # -> uptime
    uptime=''
    ! first_line "$proc/uptime" || uptime=${line%%[. ]*}
    all_digits "$uptime" || uptime=''
}

read_boot_id() { # -> boot_id
    boot_id=''
    ! first_line "$proc/sys/kernel/random/boot_id" || boot_id=$line
}

read_clock() { # -> now
    # shellcheck disable=SC3028 # bash and busybox have it; it saves them a program
    now=$EPOCHSECONDS
    [ -n "$now" ] || now=$(date +%s) || now=''
    all_digits "$now" || now=0
}

put_number() { # field, number
    [ -z "$2" ] || payload="$payload${payload:+,}\"$1\":$2"
}

put_text() { # field, text
    [ -n "$2" ] || return 0
    json_text "$2"
    put_number "$1" "$quoted"
}

build_payload() { # status -> payload
    payload=''
    read_hostname && read_clock && measure_cpu && measure_ram && measure_disk && read_uptime && read_boot_id
    put_text hostname "$reported_name"
    put_text vmid "$vmid"
    put_text node "$node"
    put_text status "$1"
    put_number cpuUsage "$cpu"
    put_number ramUsage "$ram_used"
    put_number ramTotal "$ram_total"
    put_number diskUsage "$disk_used"
    put_number diskTotal "$disk_total"
    put_number uptime "$uptime"
    [ "$now" = 0 ] || put_number timestamp "$now"
    put_text worstDisk "$worst_at"
    put_number worstDiskUsage "$worst_used"
    put_number worstDiskTotal "$worst_total"
    put_text bootId "$boot_id"
    put_text smbiosUuid "$smbios"
    put_text agentVersion "$version"
    payload="{$payload}"
}

# Key and report go to curl on its standard input: arguments can be read by every user. The report is
# one word, which curl takes as it stands. The rate bounds answers without end.
post_with_curl() {
    printf 'header = "Content-Type: application/json"\nheader = "X-API-Key: %s"\ndata-binary = %s\n' "$key" "$payload" |
        curl -q -sS -i -K - -A "defib-agent/$version" --proto =http,https --connect-timeout 5 --max-time 10 \
            --limit-rate 65536 ${ca_file:+--cacert "$ca_file"} -w '\ndefib-status: %{http_code}\n' "$endpoint"
}

# The key stands in a private file; what shows in the arguments is the report alone.
post_with_wget() {
    within 15 wget -nv -S --config="$wgetrc" -U "defib-agent/$version" --post-data="$payload" --tries=1 \
        --timeout=10 --limit-rate=64k --max-redirect=0 --content-on-error \
        ${ca_file:+"--ca-certificate=$ca_file"} -O - "$endpoint"
}

post() { # path -> code, retry_after, said
    endpoint=$url$1
    { answer=$("post_with_$tool" 2>&1); } 2>/dev/null || : # the shell says it where one was killed
    [ "${#answer}" -le 8192 ] || answer=$(printf '%.8192s' "$answer")
    read_answer
}

read_answer() { # answer -> code (000: no HTTP answer), retry_after, said
    code=000 retry_after=0 said='' answer=$answer$nl
    while [ -n "$answer" ]; do
        trim "${answer%%"$nl"*}"
        answer=${answer#*"$nl"}
        case $trimmed in
            HTTP/[0-9]*\ [1-9][0-9][0-9]*) code=${trimmed#* } code=${code%% *} ;;
            "defib-status: "[0-9][0-9][0-9]) code=${trimmed#* } ;;
            [Rr]etry-[Aa]fter:*) trim "${trimmed#*:}" && retry_after=$trimmed ;;
            \{* | curl:* | *ERROR:* | *ailed[.:]* | *unable\ to*) said=$trimmed ;;
        esac
    done
    all_digits "$retry_after" && [ "${#retry_after}" -le 3 ] && [ "$retry_after" -le 120 ] || retry_after=120
}

draw() { # n -> drawn, 0 to n-1
    first_line "$proc/sys/kernel/random/uuid" || line=''
    line=${line%"${line#????}"}
    case $line in
        '' | *[!0-9a-f]*) drawn=$((($$ + now + failures) % $1)) ;;
        *) drawn=$((0x$line % $1)) ;;
    esac
}

# Every VM has its own second within the interval, so that a fleet does not report all at once.
ascii=" !\"#\$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_\`abcdefghijklmnopqrstuvwxyz{|}~"
choose_phase() { # -> phase
    left=$smbios/$vmid/$reported_name phase=5381
    while [ -n "$left" ]; do
        character=${left%"${left#?}"} left=${left#?}
        before=${ascii%%"$character"*}
        phase=$(((phase * 33 + 32 + ${#before}) % 1000003))
    done
    phase=$((phase % interval))
}

next_slot() { # -> wait_for
    draw $((interval / 10 + 1))
    wait_for=$((interval - (now - phase + interval) % interval + drawn))
}

back_off() { # -> wait_for: 1 to 2, 4, 8 ... interval seconds, drawn evenly
    most=1 step=0
    while [ "$most" -lt "$interval" ] && [ "$step" -lt "$failures" ]; do
        most=$((most * 2)) step=$((step + 1))
    done
    [ "$most" -le "$interval" ] || most=$interval
    draw "$most"
    wait_for=$((1 + drawn))
}

complain() { # text; said again only when it is another trouble
    same=$trouble trouble=$code${said%%[;)]*}
    [ "$trouble" != "$same" ] || return 0
    case $said in *[![:print:]]*) said='(an answer that cannot be printed)' ;; esac
    say "$* $(printf '%.400s' "$said")"
}

settle() { # code, retry_after, said -> wait_for; says what changed
    failures=$((failures + 1))
    case $code,$said in
        200,*\"success\"*true*) accepted ;;
        200,* | 3??,*) back_off && complain "the answer ($code) is not Defib's; is DEFIB_URL right?" ;;
        401,* | 403,*) refused_key ;;
        429,* | 503,*)
            back_off
            wait_for=$((wait_for + retry_after))
            complain "the server cannot take reports now ($code):"
            ;;
        4??,*) next_slot && complain "the server refuses the report ($code):" ;;
        000,*) back_off && complain "cannot reach $url:" ;;
        *) back_off && complain "the server failed ($code):" ;;
    esac
}

accepted() {
    [ -z "$trouble" ] || say "reports are accepted again, after $((failures - 1)) that were not"
    trouble='' failures=0
    next_slot
}

# Once a minute, for ever: a refused report still proves that this VM lives. The key may be new then.
refused_key() {
    draw 6
    wait_for=$((60 + drawn))
    complain "the server refuses the key in $key_file ($code):"
    read_key || warn_once key "$key_problem; going on with the key read before"
}

# What could not be sent is kept, one sample an interval, for an hour at 30 s; the oldest is dropped.
# It goes by the uptime, not by the clock, which may be set meanwhile.
keep_report() {
    [ -n "$keeping" ] && [ -n "$uptime" ] || return 0
    [ "$kept_count" = 0 ] || [ $((uptime - kept_last)) -ge "$((interval - interval / 10))" ] || return 0
    kept="$kept$uptime $payload$nl" kept_count=$((kept_count + 1)) kept_last=$uptime
    [ "$kept_count" -le "$kept_most" ] || drop_kept 1
}

drop_kept() { # how many
    left=$1
    while [ "$left" -gt 0 ] && [ "$kept_count" -gt 0 ]; do
        kept=${kept#*"$nl"} kept_count=$((kept_count - 1)) left=$((left - 1))
    done
}

build_batch() { # -> payload, batched
    payload='' batched=0 rest=$kept
    while [ "$batched" -lt "$batch" ] && [ -n "$rest" ]; do
        row=${rest%%"$nl"*} rest=${rest#*"$nl"} batched=$((batched + 1))
        age=$((uptime - ${row%% *}))
        [ "$age" -ge 0 ] || age=0
        row=${row#* }
        payload="$payload${payload:+,}${row%\}},\"ageSeconds\":$age}"
    done
    payload="{\"reports\":[$payload]}"
}

# After an accepted report, once an interval, so that a fleet does not come back with all of it at once.
replay() {
    [ "$kept_count" -gt 0 ] && [ -n "$uptime" ] || return 0
    build_batch
    post /api/health/reports
    case $code,$said in
        200,*\"success\"*true*) drop_kept "$batched" ;;
        413,*) if [ "$batch" -gt 1 ]; then batch=$((batch / 2)); else drop_kept 1; fi ;;
        404,* | 405,*)
            keeping='' kept='' kept_count=0
            warn_once replay "the server takes no batches: what an outage hid from it stays hidden"
            ;;
        400,* | 415,* | 422,*)
            drop_kept "$batched"
            warn_once batch "the server refuses the samples kept through an outage ($code): $(printf '%.400s' "$said")"
            ;;
        *) [ "$retry_after" -le "$wait_for" ] || wait_for=$retry_after ;; # kept for the next time
    esac
}

report() { # status
    build_payload "$1"
    post /api/health/report
    settle
    case $1,$failures,$code in
        running,0,*) replay ;;
        running,*,000 | running,*,429 | running,*,5??) keep_report ;;
    esac
    # After a failure the sample stays, so that CPU is measured over a whole interval all the same.
    if [ "$failures" = 0 ] || [ "$now" -lt "$sampled_at" ] || [ $((now - sampled_at)) -ge "$interval" ]; then
        keep_sample
    fi
}

pause() { # seconds; a signal ends it at once
    sleep "$1" &
    sleeper=$!
    wait "$sleeper" || :
    sleeper=''
}

stop() {
    trap '' TERM INT HUP
    [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null || :
    report stopping
    [ -z "$claimed" ] || rm -f "$state_dir/pid"
    exit 0
}

# One agent a VM is enough. Under cron a second one ends; elsewhere it says so and goes on.
claim() { # -> claimed
    claimed=''
    if first_line "$state_dir/pid" && all_digits "$line" && [ "$line" != $$ ] && [ -r "/proc/$line/cmdline" ]; then
        case $(tr '\0' ' ' <"/proc/$line/cmdline" 2>/dev/null) in
            *linux-agent.sh*)
                [ "$mode" != run_cron ] || exit 0
                say "another agent runs here already (process $line): this VM reports twice as often"
                return 0 ;;
        esac
    fi
    { echo $$ >"$state_dir/pid"; } 2>/dev/null || :
    ! first_line "$state_dir/pid" || [ "$line" != $$ ] || claimed=yes
}

run_cron() { run_on; }

run_once() {
    sleep 1
    report running
    [ -z "$trouble" ] || exit 1
}

run_dry() {
    sleep 1
    build_payload running
    printf '%s\n' "$payload"
}

run_on() {
    claim
    if [ "${mode-}$claimed" = run_cron ]; then # cron starts one a minute, which could not know of this one
        say "cannot write $state_dir/pid, so it reports once a minute; is the disk full, or read-only?"
        run_once
        return 0
    fi
    trap stop TERM INT HUP
    read_hostname
    choose_phase
    say "version $version reports to $url every $interval s"
    next_slot
    while :; do
        pause "$wait_for"
        report running
    done
}

main() {
    default_settings
    mode=run_on given=''
    while [ $# -gt 0 ]; do
        case $1 in
            --config)
                [ $# -ge 2 ] || die "--config needs a file"
                config_file=$2 given=yes
                shift
                ;;
            --once) mode=run_once ;;
            --cron) mode=run_cron ;;
            --dry-run) mode=run_dry ;;
            --version) echo "$version" && exit 0 ;;
            --help | -h) usage && exit 0 ;;
            *) die "unknown option $1; see --help" ;;
        esac
        shift
    done
    if [ -r "$config_file" ]; then
        read_config
    elif [ -n "$given" ] || [ -e "$config_file" ]; then
        die "cannot read $config_file"
    fi
    read_environment
    read_smbios || :
    check_identity
    if [ "$mode" != run_dry ]; then
        choose_tool
        check_server
    fi
    read_clock
    read_ticks || :
    keep_sample
    "$mode"
}

[ -n "${DEFIB_AGENT_SOURCED:-}" ] || main "$@"

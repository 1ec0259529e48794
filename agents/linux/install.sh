#!/bin/sh
# Installs, upgrades and removes Defib's Linux agent. Run as root; running it again changes only what is not as wanted.
#
# The API serves this file at /install.sh with its own address, the files' checksums and, where the
# request carried one, the enrolment token filled in below. From a checkout: sh install.sh --from FOLDER.
# Nothing is run before the last line has arrived, so a download that breaks off does nothing.
set -euf
export LC_ALL=C
umask 022

server='@SERVER@'
enrolment_token='@ENROLMENT_TOKEN@'
agent_sha256='@AGENT_SHA256@'

user=defib-agent
# Where things are put; DESTDIR is for images that are built in a folder.
home=/opt/healthcheck etc=/etc/defib state=/run/defib-agent roots=/run/defib
mode=install dry='' from='' key_file='' vmid='' node='' hostname='' interval='' ca_file='' service='' start=yes re_enrol=''
work='' changed=0

usage() {
    cat <<'USAGE'
Usage: install.sh [options]

Installs Defib's agent as /opt/healthcheck/linux-agent.sh, as a service under an account of its own.
  --url URL         the Defib server; filled in where the server itself sent this script
  --key-file FILE   the agent's key, where no enrolment token is used
  --ca-file FILE    trust this certificate authority (PEM); a copy is kept in /etc/defib
  --vmid N, --node NAME, --hostname NAME, --interval SECONDS   settings of the agent
  --service KIND    systemd, openrc, cron or none; found out where it is not said
  --from FOLDER     take linux-agent.sh from this folder instead of the server
  --re-enrol        ask for a new key although there is one
  --no-start        install, but neither start it nor send a first report (for images)
  --dry-run         say what would be done, and change nothing
  --upgrade         replace the agent and keep its settings and key; fails where none is installed
  --uninstall       stop and remove everything, the key and the account included
  --help

An enrolment token may also be given in the variable DEFIB_ENROLMENT_TOKEN or, better, be sent as the
header X-Enrolment-Token when this script is fetched: then it shows in no process list.
Exit codes: 0 done; 1 failed, and why; 2 wrong options; 3 installed, but the first report was not accepted.
USAGE
}

say() { printf 'defib: %s\n' "$*"; }

die() {
    printf 'defib: %s\n' "$*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Every change goes through this, so that a dry run is one.
act() { # words for the reader, command ...
    say "${dry:+(dry run) }$1"
    shift
    changed=$((changed + 1))
    [ -z "$dry" ] || return 0
    "$@"
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --url | --key-file | --ca-file | --vmid | --node | --hostname | --interval | --service | --from)
                [ $# -ge 2 ] && [ -n "$2" ] || usage_error "$1 needs a value"
                read_option "$1" "$2"
                shift
                ;;
            --dry-run) dry=yes ;;
            --upgrade) mode=upgrade ;;
            --uninstall) mode=uninstall ;;
            --re-enrol) re_enrol=yes ;;
            --no-start) start='' ;;
            --help | -h) usage && exit 0 ;;
            *) usage_error "unknown option $1" ;;
        esac
        shift
    done
}

read_option() { # option, value
    case $1 in
        --url) server=$2 ;;
        --key-file) key_file=$2 ;;
        --ca-file) ca_file=$2 ;;
        --vmid) vmid=$2 ;;
        --node) node=$2 ;;
        --hostname) hostname=$2 ;;
        --interval) interval=$2 ;;
        --service) service=$2 ;;
        --from) from=$2 ;;
    esac
}

usage_error() {
    printf 'defib: %s; see --help\n' "$*" >&2
    exit 2
}

# What was not filled in is empty.
read_filled_in() {
    case $server in @*) server='' ;; esac
    case $agent_sha256 in @*) agent_sha256='' ;; esac
    case $enrolment_token in @*) enrolment_token=${DEFIB_ENROLMENT_TOKEN:-} ;; esac
    unset DEFIB_ENROLMENT_TOKEN
}

check_machine() {
    [ "$(uname -s)" = Linux ] || die "this installs the Linux agent, and this is $(uname -s)"
    [ "$(id -u)" = 0 ] || [ -n "$dry" ] || die "must run as root: curl ... | sudo sh"
    has curl || case $(wget --version 2>/dev/null || :) in
        "GNU Wget 1."*) ;;
        *) die "needs curl (or GNU wget): apt-get install curl, dnf install curl, apk add curl" ;;
    esac
    has sha256sum || die "needs sha256sum (of coreutils or busybox)"
    [ "$mode" != uninstall ] || return 0
    [ -n "$service" ] || find_service
    case $service in
        systemd | openrc | cron | none) ;;
        *) usage_error "--service must be systemd, openrc, cron or none, not '$service'" ;;
    esac
}

find_service() { # -> service
    if [ -d /run/systemd/system ] || has systemctl; then
        service=systemd
    elif has openrc-run || [ -x /sbin/openrc-run ]; then
        service=openrc
    elif [ -d /etc/cron.d ] || [ -d /etc/crontabs ]; then
        service=cron
    else
        die "found no systemd, OpenRC or cron to run the agent; install one (apt-get install cron), or" \
            "choose --service none and start /opt/healthcheck/linux-agent.sh yourself"
    fi
}

configured() { # name -> its value in the settings that are here already
    [ ! -r "$etc/agent.conf" ] || sed -n "s/^$1=//p" "$etc/agent.conf" | tail -n 1
}

check_options() {
    [ -n "$server" ] || server=$(configured DEFIB_URL)
    while [ "$server" != "${server%/}" ]; do server=${server%/}; done
    case $server in
        *[[:space:]\"\'\\@?#\$\`]*) usage_error "--url must be a plain address, not '$server'" ;;
        https://?* | http://?*) ;;
        *) usage_error "where is the Defib server? Give --url https://defib.example.com" ;;
    esac
    case $vmid in *[!0-9]*) usage_error "--vmid must be the VM's number in Proxmox, not '$vmid'" ;; esac
    case $interval in *[!0-9]*) usage_error "--interval must be a number of seconds, not '$interval'" ;; esac
    case $node$hostname in *[!A-Za-z0-9._-]*) usage_error "--node and --hostname take letters, digits, '.', '_' and '-'" ;; esac
    [ -z "$key_file" ] || [ -r "$key_file" ] || usage_error "cannot read $key_file"
    [ -z "$ca_file" ] || [ -r "$ca_file" ] || usage_error "cannot read $ca_file"
    [ "$mode" != upgrade ] || [ -r "$home/linux-agent.sh" ] || die "nothing to upgrade: no agent is installed here"
    if [ -z "$enrolment_token$key_file" ] && [ ! -s "$etc/agent.key" ]; then
        die "no key and no enrolment token: make a token in Defib (Add VM, or: defib enrolment create) and fetch" \
            "this script with it as the header X-Enrolment-Token, or give --key-file"
    fi
}

check_writable() {
    for place in /etc /opt; do
        [ -n "$dry" ] || [ ! -d "$place" ] || [ -w "$place" ] || die "cannot write in $place: is it read-only?"
    done
}

trusted() { # -> the authority to trust, if one was ever given
    if [ -n "$ca_file" ]; then
        printf %s "$ca_file"
    elif [ -r "$etc/ca.pem" ]; then
        printf %s "$etc/ca.pem"
    fi
}

fetch() { # path, target
    authority=$(trusted)
    if has curl; then
        curl -q -fsS --proto =http,https --connect-timeout 10 --max-time 60 ${authority:+--cacert "$authority"} \
            -o "$2" "$server$1"
    else
        wget -q --timeout=30 --tries=1 ${authority:+"--ca-certificate=$authority"} -O "$2" "$server$1"
    fi
}

get_agent() {
    if [ -n "$from" ]; then
        [ -r "$from/linux-agent.sh" ] || die "there is no linux-agent.sh in $from"
        cat "$from/linux-agent.sh" >"$work/linux-agent.sh"
    else
        fetch /agent/linux-agent.sh "$work/linux-agent.sh" ||
            die "cannot fetch $server/agent/linux-agent.sh (see the line above); is the address right, and its" \
                "certificate from an authority this machine knows? If not: --ca-file"
    fi
    found=$(sha256sum <"$work/linux-agent.sh")
    found=${found%% *}
    [ -n "$from" ] || [ -n "$agent_sha256" ] || agent_sha256=$(fetch_checksum)
    [ -z "$agent_sha256" ] || [ "$found" = "$agent_sha256" ] ||
        die "the agent that arrived is not the one the server promised: SHA-256 $found, expected $agent_sha256"
    sh -n "$work/linux-agent.sh" || die "the agent that arrived is no shell script"
    say "linux-agent.sh $(version_of "$work/linux-agent.sh")$(replacing), SHA-256 $found"
}

version_of() { sed -n 's/^version=//p' "$1" | head -n 1; } # file

replacing() {
    [ -r "$home/linux-agent.sh" ] || return 0
    installed=$(version_of "$home/linux-agent.sh")
    [ "$installed" = "$(version_of "$work/linux-agent.sh")" ] || printf ' in place of %s' "${installed:-one without a version}"
}

fetch_checksum() {
    fetch /agent/linux-agent.sh.sha256 "$work/sha256" || die "cannot fetch $server/agent/linux-agent.sh.sha256"
    read -r checksum _ <"$work/sha256" || :
    printf %s "$checksum"
}

make_account() {
    ! id "$user" >/dev/null 2>&1 || return 0
    shell=/bin/false
    for candidate in /usr/sbin/nologin /sbin/nologin; do [ ! -x "$candidate" ] || shell=$candidate; done
    if has useradd; then
        act "making the account $user" useradd --system --user-group --no-create-home --home-dir /nonexistent --shell "$shell" "$user"
    elif has adduser; then
        has addgroup && act "making the group $user" addgroup -S "$user" # busybox
        act "making the account $user" adduser -S -D -H -h /nonexistent -s "$shell" -G "$user" "$user"
    else
        die "cannot make the account $user: neither useradd nor adduser is here"
    fi
}

# Puts a file in place in one step, and only where it differs. Its owner is root unless said.
put() { # source, target, mode, owner
    if [ -f "$2" ] && cmp -s "$1" "$2"; then
        return 1
    fi
    act "writing $2" replace "$1" "$2" "$3" "$4"
}

replace() { # source, target, mode, owner
    mkdir -p "${2%/*}"
    (umask 077 && cat "$1" >"$2.new") || die "cannot write $2 (is the disk full, or read-only?)"
    chown "$4" "$2.new"
    chmod "$3" "$2.new"
    mv "$2.new" "$2"
}

setting() { # name, value; keeps the line as it is where no value is given, and its place where it is that value
    [ -n "$2" ] || return 0
    ! grep -qxF "$1=$2" "$work/agent.conf" || return 0
    sed "/^$1=/d" "$work/agent.conf" >"$work/agent.conf.next"
    printf '%s=%s\n' "$1" "$2" >>"$work/agent.conf.next"
    mv "$work/agent.conf.next" "$work/agent.conf"
}

write_settings() {
    if [ -r "$etc/agent.conf" ]; then
        cat "$etc/agent.conf" >"$work/agent.conf"
    else
        printf '# Settings of the Defib agent; see linux-agent.sh --help.\n' >"$work/agent.conf"
    fi
    [ -z "$ca_file" ] || put "$ca_file" "$etc/ca.pem" 0644 root:root || :
    setting DEFIB_URL "$server"
    [ -z "$ca_file" ] || setting DEFIB_CA_FILE "$etc/ca.pem"
    setting DEFIB_VMID "$vmid"
    setting DEFIB_NODE "$node"
    setting DEFIB_HOSTNAME "$hostname"
    setting DEFIB_INTERVAL "$interval"
    setting DEFIB_VM "${vm:-}"
    put "$work/agent.conf" "$etc/agent.conf" 0644 root:root || :
}

# Before anything else is done, so that a token that is not taken leaves the machine as it was.
get_key() { # -> key_file, where there is a new key
    [ -z "$key_file" ] && [ -n "$enrolment_token" ] || return 0
    [ -n "$re_enrol" ] || [ ! -s "$etc/agent.key" ] || return 0
    uuid=$(word_of /sys/class/dmi/id/product_uuid 2>/dev/null) || uuid=''
    number=${vmid:-$(configured DEFIB_VMID)}
    [ -n "$uuid$number" ] || [ -n "$dry" ] ||
        refuse "nothing says which VM this is, as it shows no SMBIOS UUID: give --vmid and its number in Proxmox"
    if [ -n "$dry" ]; then
        act "enrolling at $server" :
    else
        say "enrolling at $server"
        enrol
        key_file=$work/agent.key
    fi
}

json_field() { # name -> its text or number in $work/answer; empty where it is null or not there
    sed -n "s/.*\"$1\" *: *\"\\{0,1\\}\\([A-Za-z0-9._~+/=-]*\\).*/\\1/p" "$work/answer" | sed '/^null$/d'
}

quoted_or_nothing() { # name, value
    [ -z "$2" ] || printf ',"%s":"%s"' "$1" "$2"
}

word_of() { # file -> its first word, if it is a plain one
    read -r word _ 2>/dev/null <"$1" || :
    case ${word:-} in *[!A-Za-z0-9-]*) ;; *) printf %s "${word:-}" ;; esac
}

enrol() {
    name=${hostname:-$(configured DEFIB_HOSTNAME)}
    name=${name:-$(uname -n)}
    case $name in *[!A-Za-z0-9._-]* | '') die "the host name '$name' has characters that Defib does not take; give --hostname" ;; esac
    boot=$(word_of /proc/sys/kernel/random/boot_id 2>/dev/null) || boot=''
    {
        printf '{"hostname":"%s"' "$name"
        quoted_or_nothing vmid "$number"
        quoted_or_nothing node "$node"
        quoted_or_nothing smbiosUuid "$uuid"
        quoted_or_nothing bootId "$boot"
        quoted_or_nothing agentVersion "$(version_of "$work/linux-agent.sh")"
        printf '}'
    } >"$work/enrol.json"
    code=$(post_enrolment) || code=000
    case $code in
        200) ;;
        000) refuse "cannot reach $server/api/enroll (see the line above)" ;;
        401) refuse "the enrolment token is unknown, expired or used up; make a new one (Add VM, or: defib enrolment create)" ;;
        404 | 405) refuse "$server has no enrolment; give --key-file with a key made by: defib token create --kind agent" ;;
        409) refuse "this VM has a key already: $(answer_text)" ;;
        429) refuse "too many enrolments at once; try again in a minute: $(answer_text)" ;;
        *) refuse "enrolment was refused ($code): $(answer_text)" ;;
    esac
    token=$(json_field token)
    [ -n "$token" ] || die "the answer to the enrolment names no key; is $server Defib's address?"
    vm=$(json_field vmId)
    [ -n "$number" ] || vmid=$(json_field vmid)
    seconds=$(json_field reportIntervalSeconds)
    [ -n "$interval" ] || [ "${seconds:-30}" = 30 ] || interval=$seconds
    (umask 077 && printf '%s\n' "$token" >"$work/agent.key")
}

refuse() { die "$* - nothing was changed on this machine"; }

answer_text() { # the message in it, else all of it
    text=$(sed -n 's/.*"message" *: *"\([^"\\]*\)".*/\1/p' "$work/answer" 2>/dev/null | head -n 1)
    [ -n "$text" ] || text=$(head -c 400 "$work/answer")
    printf '%.400s' "$text" | tr -d '\000-\037\177'
}

# The token goes over standard input or a private file: arguments can be read by every user.
post_enrolment() { # -> the HTTP status
    authority=$(trusted)
    if has curl; then
        printf 'header = "X-Enrolment-Token: %s"\nheader = "Content-Type: application/json"\n' "$enrolment_token" |
            curl -q -sS -K - --proto =http,https --connect-timeout 10 --max-time 30 ${authority:+--cacert "$authority"} \
                --data-binary "@$work/enrol.json" -o "$work/answer" -w '%{http_code}' "$server/api/enroll"
        return
    fi
    printf 'header = X-Enrolment-Token: %s\nheader = Content-Type: application/json\n' "$enrolment_token" >"$work/wgetrc"
    wget -nv -S --config="$work/wgetrc" --tries=1 --timeout=30 --max-redirect=0 --content-on-error \
        ${authority:+"--ca-certificate=$authority"} --post-file="$work/enrol.json" -O "$work/answer" \
        "$server/api/enroll" >/dev/null 2>"$work/said" || :
    status=$(sed -n 's/^ *HTTP\/[0-9.]* \([0-9]*\).*/\1/p' "$work/said" | tail -n 1)
    [ -n "$status" ] || cat "$work/said" >&2
    printf %s "${status:-000}"
}

write_service() {
    "unit_of_$service" >"$work/unit"
    case $service in
        systemd) target=/etc/systemd/system/defib-agent.service unit_mode=0644 ;;
        openrc) target=/etc/init.d/defib-agent unit_mode=0755 ;;
        cron) if [ -d /etc/cron.d ]; then target=/etc/cron.d/defib-agent; else target=/etc/crontabs/root; fi ;;
        none) return 0 ;;
    esac
    if [ "$target" = /etc/crontabs/root ]; then
        put_crontab
    elif put "$work/unit" "$target" "${unit_mode:-0644}" root:root; then
        [ "$service" != systemd ] || [ ! -d /run/systemd/system ] || act "reloading systemd" systemctl daemon-reload
    fi
}

# busybox's crond has one file a user: our line goes in, all others stay.
put_crontab() {
    line=$(unit_of_cron | sed -n '$s/^\(\* \* \* \* \*\) root /\1 /p')
    [ ! -r "$target" ] || sed '/defib-agent/d' "$target" >"$work/crontab"
    printf '%s\n' "$line" >>"$work/crontab"
    put "$work/crontab" "$target" 0600 root:root || :
}

unit_of_none() { :; }

unit_of_cron() {
    cat <<UNIT
# Defib's agent: started once a minute unless it runs already. As root only to hand it the SMBIOS UUID.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
* * * * * root mkdir -p -m 0755 $roots $state && chown $user: $state && install -m 0400 -o $user /sys/class/dmi/id/product_uuid $roots/smbios-uuid 2>/dev/null; DEFIB_SMBIOS_FILE=$roots/smbios-uuid TMPDIR=$state su -s /bin/sh $user -c 'exec sh $home/linux-agent.sh --cron' >/dev/null 2>&1
UNIT
}

unit_of_openrc() {
    cat <<UNIT
#!/sbin/openrc-run
# Defib's agent, as an account of its own.
description="Reports this VM's health to Defib"
supervisor=supervise-daemon
command=/bin/sh
command_args="$home/linux-agent.sh"
command_user=$user:$user
respawn_delay=10
respawn_max=0
retry=TERM/20/KILL/5
export DEFIB_SMBIOS_FILE=$roots/smbios-uuid TMPDIR=$state

depend() {
    use net
    after net
}

start_pre() {
    checkpath -d -m 0700 -o $user:$user $state
    checkpath -d -m 0755 -o root:root $roots
    install -m 0400 -o $user /sys/class/dmi/id/product_uuid $roots/smbios-uuid 2>/dev/null || true
}
UNIT
}

unit_of_systemd() {
    if [ -n "$from" ]; then
        cat "$from/defib-agent.service"
        return
    fi
    cat <<'UNIT'
@UNIT@
UNIT
}

first_report() {
    say "sending a first report"
    # Never as root into $state: it is the agent's, who could have put a link there to anywhere.
    mkdir -p "$roots" "$state"
    chown "$user:" "$state"
    install -m 0400 -o "$user" /sys/class/dmi/id/product_uuid "$roots/smbios-uuid" 2>/dev/null || :
    su -s /bin/sh "$user" -c "DEFIB_SMBIOS_FILE=$roots/smbios-uuid TMPDIR=$state exec sh $home/linux-agent.sh --once"
}

start_service() {
    case $service in
        systemd)
            act "enabling defib-agent.service" systemctl -q enable defib-agent.service
            if [ -d /run/systemd/system ]; then act "starting it" systemctl restart defib-agent.service; fi
            ;;
        openrc)
            act "enabling the service defib-agent" rc-update -q add defib-agent default
            act "starting it" rc-service defib-agent restart
            ;;
        cron)
            if is_running; then act "ending the old agent; cron starts the new one" end_agent; fi
            ;;
    esac
}

is_running() {
    [ -r "$state/pid" ] && read -r pid <"$state/pid" && [ -r "/proc/$pid/cmdline" ] &&
        tr '\000' ' ' <"/proc/$pid/cmdline" | grep -q linux-agent.sh
}

end_agent() {
    kill "$pid" 2>/dev/null || :
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -d "/proc/$pid" ] || return 0
        sleep 1
    done
    kill -9 "$pid" 2>/dev/null || :
}

install_agent() {
    check_options
    check_writable
    get_agent
    get_key
    make_account
    put "$work/linux-agent.sh" "$home/linux-agent.sh" 0755 root:root || :
    [ -z "$key_file" ] || put "$key_file" "$etc/agent.key" 0600 "$user:$user" || :
    write_settings
    write_service
    if [ "$changed" = 0 ] && { [ "$service" != cron ] || [ -z "$start" ] || is_running; }; then
        say "unchanged: the agent is installed as wanted"
        return 0
    fi
    if [ -n "$dry" ]; then
        [ -z "$start" ] || say "would send a first report, and start the agent by $service"
        return 0
    fi
    if [ -z "$start" ]; then
        [ "$service" != systemd ] || systemctl -q enable defib-agent.service
        say "installed; it starts with the next boot"
        return 0
    fi
    accepted=yes
    first_report || accepted=''
    start_service
    if [ -z "$accepted" ]; then
        printf 'defib: installed, but the first report was not accepted (see above); the agent keeps trying\n' >&2
        exit 3
    fi
    say "done: the first report was accepted; $(what_starts_it)"
}

what_starts_it() {
    case $service in
        systemd) if [ -d /run/systemd/system ]; then echo "it runs: journalctl -u defib-agent"; else echo "it starts with the next boot"; fi ;;
        openrc) echo "it runs: rc-service defib-agent status" ;;
        cron) echo "cron starts it within a minute" ;;
        none) echo "nothing starts it: have sh $home/linux-agent.sh run for ever, as $user" ;;
    esac
}

remove() { # file or folder
    [ -e "$1" ] || [ -L "$1" ] || return 0
    act "removing $1" rm -rf "$1"
}

uninstall_agent() {
    if has systemctl && [ -e /etc/systemd/system/defib-agent.service ]; then
        act "stopping and disabling defib-agent.service" disable_unit
    fi
    if has rc-service && [ -e /etc/init.d/defib-agent ]; then
        act "stopping and disabling the service defib-agent" disable_service
    fi
    if [ -r /etc/crontabs/root ] && grep -q defib-agent /etc/crontabs/root; then
        sed '/defib-agent/d' /etc/crontabs/root >"$work/crontab"
        put "$work/crontab" /etc/crontabs/root 0600 root:root || :
    fi
    remove /etc/cron.d/defib-agent
    if is_running; then act "ending the agent" end_agent; fi
    for one in /etc/systemd/system/defib-agent.service /etc/init.d/defib-agent "$home/linux-agent.sh" "$etc" "$state" "$roots"; do
        remove "$one"
    done
    [ ! -d "$home" ] || [ -n "$dry" ] || rmdir "$home" 2>/dev/null || say "$home is kept: other files are in it"
    [ ! -d /run/systemd/system ] || [ -n "$dry" ] || systemctl daemon-reload
    if id "$user" >/dev/null 2>&1; then
        if has userdel; then act "removing the account $user" userdel "$user"; else act "removing the account $user" deluser "$user"; fi
    fi
    if [ "$changed" = 0 ]; then
        say "unchanged: no agent is installed"
    elif [ -z "$dry" ]; then
        say "removed. In Defib the VM goes down unless you pause or remove it there"
    fi
}

# One that does not run, or was never enabled, is to be removed all the same.
disable_service() {
    rc-service defib-agent stop || :
    rc-update -q del defib-agent default || :
}

disable_unit() {
    systemctl -q disable defib-agent.service || :
    [ ! -d /run/systemd/system ] || systemctl stop defib-agent.service || :
}

main() {
    read_filled_in
    read_options "$@"
    check_machine
    work=$(umask 077 && mktemp -d) || die "cannot make a temporary folder (is the disk full, or read-only?)"
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    case $mode in
        uninstall) uninstall_agent ;;
        *) install_agent ;;
    esac
    [ -z "$dry" ] || say "dry run: nothing was changed"
}

main "$@"

#!/bin/sh
# The first program of dom0: starts Xen's daemons, runs each domain of /jobs/list by xl, and sends home what they left over
# the second serial port, in the sections that frames.rs describes.
PATH=/bin:/xen
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
busybox mkdir /dev/pts
busybox mount -t devpts devpts /dev/pts
for module in xen-privcmd xenfs xen-evtchn xen-gntdev xen-gntalloc; do
    busybox insmod /modules/$module.ko || echo "mstrap-dom0: cannot load $module"
done
busybox mount -t xenfs xenfs /proc/xen
busybox stty -F /dev/ttyS1 raw -echo clocal
exec 3>/dev/ttyS1
. /jobs/token

section() { printf '\n@@%s %s %s\n' "$token" "$number" "$1" >&3; }

now() { busybox date +%s; }

is_late() { [ $(($(now) - start)) -ge "$seconds" ]; }

# The number and the state letters of the domain; "gone" for one that is not there any more. A look that fails leaves them as
# they were.
look() {
    set -- $(xl list "$name" 2>>/xl.log | busybox tail -n 1)
    if [ $# -ge 5 ]; then
        domid=$2 state=$5
    else
        echo "mstrap-dom0: xl list says: $*" >>/xl.log
        case $domid in none) ;; *) xl list "$domid" >/dev/null 2>&1 || state=gone ;; esac
    fi
}

# Waits until a file no longer grows.
settled() {
    size=none
    while [ "$size" != "$(busybox stat -c %s "$1" 2>/dev/null)" ]; do
        size=$(busybox stat -c %s "$1" 2>/dev/null)
        busybox usleep 300000
    done
}

# Whether the text at which it is to be ended is on the domain's console.
said() { [ -n "$until" ] && busybox grep -qF -e "$until" "$console" 2>/dev/null; }

# Waits until the domain has ended, or is to be ended.
ended() {
    while :; do
        look
        said && state=found
        case $state in gone | found | *[sc]*) return 0 ;; esac
        is_late && return 1
        busybox sleep 1
    done
}

# How often a line with this text is on the domain's console.
count() { busybox grep -c "$1" "$console" 2>/dev/null || :; }

# Waits until there are so many lines with this text.
await() {
    while :; do
        lines=$(count "$1")
        [ "${lines:-0}" -ge "$2" ] && return 0
        is_late && return 1
        busybox sleep 1
    done
}

create() { xl create "$@" "/jobs/$number.cfg" >>/xl.log 2>&1; }

note() { echo "mstrap-dom0: $*" >>/xl.log; }

free_memory() { xl info | busybox awk '/^free_memory/ { print $3 }'; }

# What is done with a domain; see Act in domain.rs.
run() { create && ended; }

watch() {
    run && return 0
    xl dmesg -c >/dev/null
    xl debug-keys v
    xl dmesg
}

unread() {
    daemon=$(busybox pidof xenconsoled)
    create -p
    busybox kill -STOP "$daemon"
    xl unpause "$name" && ended
    busybox kill -CONT "$daemon"
    busybox sleep 1
}

repeat() {
    before=$(free_memory)
    for turn in $(busybox seq "$times"); do
        create && ended || return 1
        if [ "$turn" -lt "$times" ]; then xl destroy "$name"; fi
    done
    xl destroy "$name"
    busybox sleep 1
    note "free memory: $before $(free_memory)"
}

reboot() {
    create && await "$up" 1 && xl reboot "$name" && await "$up" 2 || return 1
    look
    note "rebooted"
    xl shutdown "$name" && ended
}

save() {
    # Else files may take half of the memory.
    busybox mkdir -p /saved
    busybox mount -t tmpfs -o size=100% saved /saved
    create && await "$tick" 2 && xl save "$name" /saved/domain || return 1
    ticks=$(count "$tick")
    xl list "$name" >/dev/null 2>&1 && note "still there after it was saved"
    xl restore /saved/domain && await "$tick" $((ticks + 3)) || return 1
    look
    note "restored"
    xl shutdown "$name" && ended
}

# What the domain writes is sent as it comes, and it is given what is typed.
talk() {
    create || return 1
    until [ -e "$console" ]; do busybox sleep 1; done
    busybox tail -n +1 -f "$console" >&3 &
    joined=$!
    look
    xenconsole "$domid" --type pv --interactive </dev/ttyS1 >/dev/null &
    joined="$joined $!"
    ended
    settled "$console"
    busybox sleep 2
    kill $joined
}

# job NUMBER NAME SECONDS ACT TIMES UNTIL: one domain.
job() {
    number=$1 name=$2 seconds=$3 act=$4 times=$5 until=$6 domid=none state=none
    console=/var/log/xen/console/guest-$name.log
    section console.log
    start=$(now)
    : >/xl.log
    $act >>/xl.log 2>&1
    seconds=$(($(now) - start))
    if [ "$act" != talk ] && [ -e "$console" ]; then
        settled "$console"
        busybox cat "$console" >&3
    fi
    section toolstack.log
    busybox cat /xl.log "/var/log/xen/xl-$name.log" >&3 2>/dev/null
    section end
    echo "$state $domid $seconds" >&3
    xl destroy "$name" >/dev/null 2>&1
    busybox umount /saved 2>/dev/null
}

xenstored
xen-init-dom0
xenconsoled --log=all
. /jobs/list
number=0
section finished
busybox stty -F /dev/ttyS1 -echo
busybox poweroff -f

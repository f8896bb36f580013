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

# The number and the state letters of the domain NAME. A look that fails leaves them as they were.
look() {
    set -- $(xl list "$1" 2>>/xl.log | busybox tail -n 1)
    if [ $# -ge 5 ]; then
        domid=$2 state=$5
    else
        echo "mstrap-dom0: xl list says: $*" >>/xl.log
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

# Sends what the domain writes as it comes, and gives it what is typed.
join() {
    until [ -e "$console" ]; do busybox sleep 1; done
    busybox tail -n +1 -f "$console" >&3 &
    joined=$!
    xenconsole "$domid" --type pv --interactive </dev/ttyS1 >/dev/null 2>>/xl.log &
    joined="$joined $!"
}

# run NUMBER NAME SECONDS [typed]: one domain; with `typed`, its console is joined to the stream while it runs.
run() {
    number=$1 name=$2 seconds=$3 typed=$4 domid=none state=none joined=
    console=/var/log/xen/console/guest-$name.log
    section console.log
    start=$(now)
    if xl create "/jobs/$number.cfg" >/xl.log 2>&1; then
        look "$name"
        [ -z "$typed" ] || join
        while [ $(($(now) - start)) -lt "$seconds" ]; do
            case $state in *[sc]*) break ;; esac
            busybox sleep 1
            look "$name"
        done
    fi
    seconds=$(($(now) - start))
    if [ -e "$console" ]; then
        settled "$console"
        if [ -z "$joined" ]; then
            busybox cat "$console" >&3
        else
            busybox sleep 2
            kill $joined
        fi
    fi
    section xl.log
    busybox cat /xl.log >&3
    section end
    echo "$state $domid $seconds" >&3
    xl destroy "$name" >/dev/null 2>&1
}

xenstored
xen-init-dom0
xenconsoled --log=all
. /jobs/list
number=0
section finished
busybox stty -F /dev/ttyS1 -echo
busybox poweroff -f

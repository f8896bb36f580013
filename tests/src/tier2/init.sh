#!/bin/sh
# The first program of the outer machine: gives it a KVM that supports Xen, runs each machine of /jobs/list, and sends home
# what they left over the second serial port, in the sections that frames.rs describes.
PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in irqbypass kvm kvm-amd; do
    busybox insmod /modules/$module.ko || echo "mstrap-outer: cannot load $module"
done
[ -c /dev/kvm ] || echo "mstrap-outer: no /dev/kvm"
busybox stty -F /dev/ttyS1 raw -echo clocal
exec 3>/dev/ttyS1
. /jobs/token

section() { printf '\n@@%s %s %s\n' "$token" "$number" "$1" >&3; }

# run NUMBER SECONDS ARGUMENT...: one machine. Its serial port is the second serial port of this one.
run() {
    number=$1 seconds=$2
    shift 2
    busybox rm -rf /logs
    busybox mkdir /logs
    section serial.log
    start=$(busybox date +%s)
    busybox timeout -s KILL "$seconds" /lib/ld-linux-x86-64.so.2 --library-path /lib /bin/qemu-system-x86_64 -L /firmware \
        "$@" -chardev file,id=qmp,path=/logs/qmp.log,input-path=/qmp -mon chardev=qmp,mode=control \
        </dev/null >/logs/stderr.log 2>&1
    status=$?
    for log in /logs/*; do
        section "${log#/logs/}"
        busybox cat "$log" >&3
    done
    section end
    echo "$status $(($(busybox date +%s) - start))" >&3
}

. /jobs/list
number=0
section finished
busybox stty -F /dev/ttyS1 -echo
busybox poweroff -f

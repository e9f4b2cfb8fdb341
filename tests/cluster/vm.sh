#!/usr/bin/env bash
# vm.sh - runs a command in a virtual machine with Debian's kernel and its exit status.
#
#     vm.sh [--cpus N] [--memory MIB] [--timeout S] [--modules 'M...'] [--disk IMAGE]... \
#           --share DIRECTORY -- COMMAND...
#
# Below the machine's root is this host's, read-only: what is written over it is in memory and gone
# at the end. DIRECTORY is the host's own, writable, at the same path. The images are /dev/vda,
# /dev/vdb, ...; the machine has no network but loopback. qemu emulates the processor (no KVM is
# needed), so everything takes 25 to 100 times as long as on the host.
# The kernel is unpacked in $VM_KERNEL, and fetched to there once if it is not there.
set -eu
cpus=2 memory=2048 timeout=900 modules='' share='' drives=()
kernel=${VM_KERNEL:-$(dirname "$(readlink -f "$0")")/../../build/vm-kernel}

while [ $# -gt 0 ]; do
    case $1 in
    --cpus) cpus=$2 ;;
    --memory) memory=$2 ;;
    --timeout) timeout=$2 ;;
    --modules) modules=$2 ;;
    --share) share=$(readlink -f "$2") ;;
    --disk) drives+=(-drive "file=$2,format=raw,if=virtio,cache=unsafe") ;;
    --) shift; break ;;
    *) echo "vm.sh: what is $1?" >&2; exit 2 ;;
    esac
    shift 2
done
[ -n "$share" ] && [ $# -gt 0 ] || { echo "vm.sh: needs --share and a command" >&2; exit 2; }

if [ ! -e "$kernel/complete" ]; then
    mkdir -p "$kernel"
    package=$(apt-cache depends linux-image-amd64 | awk '/Depends:/ { print $2; exit }')
    (cd "$kernel" && apt-get -qq download "$package" 2>/dev/null) ||
        { echo "vm.sh: cannot fetch the package '$package'" >&2; exit 1; }
    dpkg-deb -x "$kernel/$package"_*.deb "$kernel"
    rm "$kernel/$package"_*.deb
    depmod -b "$kernel" "$(ls "$kernel/lib/modules")"
    touch "$kernel/complete"
fi
kernel=$(readlink -f "$kernel")
version=$(ls "$kernel/lib/modules")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,mods,proc,sys,dev,host,rw,new} "$work/told"
cp "$(command -v busybox)" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
for module in virtio_pci virtio_blk 9pnet_virtio 9p overlay $modules; do
    modprobe -d "$kernel" -S "$version" -D "$module" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
    cp "$file" "$root/mods/"
    basename "$file" >>"$root/mods/list"
done

{
    printf 'cd %q || exit 97\n' "$share"
    printf '%q ' "$@"
    echo
} >"$work/told/command"
# Writing the command's status to 'told' is the last that the machine does.
cat >"$root/init" <<INIT
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read module; do insmod /mods/\$module || echo "no module \$module"; done < /mods/list
options=trans=virtio,version=9p2000.L,msize=524288
mount -t 9p -o \$options,ro,cache=loose host /host || poweroff -f
mount -t tmpfs rw /rw; mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work root /new || poweroff -f
for d in proc sys dev; do mount --move /\$d /new/\$d; done
mkdir -p /new/dev/pts /new/dev/shm "/new$share" /new/told
mount -t devpts pts /new/dev/pts; mount -t tmpfs shm /new/dev/shm; mount -t tmpfs run /new/run
mount -t 9p -o \$options,access=any,cache=none share "/new$share"
mount -t 9p -o \$options told /new/told
ip link set lo up
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    chroot /new /bin/bash /told/command >/new/dev/ttyS1 2>&1
echo \$? >/new/told/status
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

timeout -k 5 "$timeout" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max \
    -smp "$cpus" -m "$memory" -nodefaults -no-user-config -display none -no-reboot \
    -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/initrd" \
    -append "console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off random.trust_cpu=on" \
    -chardev "file,id=console,path=$work/console" -serial chardev:console -serial stdio \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
    -virtfs "local,path=$share,mount_tag=share,security_model=none,multidevs=remap" \
    -virtfs "local,path=$work/told,mount_tag=told,security_model=none" \
    "${drives[@]}" </dev/null || echo "vm.sh: qemu ended with $? (124: $timeout s are over)" >&2
if [ ! -s "$work/told/status" ]; then
    echo "vm.sh: the machine told no status; its console:" >&2
    tail -n 30 "$work/console" >&2
    exit 125
fi
exit "$(cat "$work/told/status")"

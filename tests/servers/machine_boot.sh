# Turns the namespaces it runs in into a machine and becomes its systemd. Called by machine_runner.py, which has made the namespaces, as
#   machine_boot.sh ROOT FOLDER VIEW NETWORK HERE HOSTNAME [PROGRAM…]
# ROOT: the shared Debian, never written to. FOLDER: what goes to and fro between the machine and the tests. VIEW: overlay, or copy where that does
# not work. HERE: our address, as the machine sees us, in NETWORK. PROGRAM: NAME=BINARY, to be
# /usr/bin/NAME.
set -eu
root=$1 folder=$2 view=$3 network=$4 here=$5 hostname=$6
shift 6

read -r process_id _ </proc/self/stat # this /proc is still the runner's, who knows us by another number than 1
echo "$process_id"
read -r address # of eth0, which the runner has plugged in meanwhile

# what the machine writes is gone with it; only the copy lies on disk
scratch=$folder/scratch
mkdir "$scratch"
mount -t tmpfs -o mode=0755 tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
if [ "$view" = overlay ]; then
    new=$scratch/root
    mount -t overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$new"
else
    new=$folder/root
    cp -a --reflink=auto "$root" "$new"
    mount --bind "$new" "$new"
fi

mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
ip link set lo up
ip link set eth0 up
# loopback addresses that travel over a wire (see machine_runner.py): nothing that is tested listens on any other
echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet
ip address add "$address/32" dev eth0
ip route add unicast "$here/32" dev eth0 src "$address" table local
ip route add unicast "$network" via "$here" dev eth0 src "$address" table local
# the kernel's own switches are everybody's: they can be read only
mount --bind "$new/proc/sys" "$new/proc/sys"
mount -o remount,bind,ro "$new/proc/sys"
[ ! -e "$new/proc/sysrq-trigger" ] || mount --bind /dev/null "$new/proc/sysrq-trigger"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$new/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$new/sys/fs/cgroup"
mount -t tmpfs -o mode=0755,nosuid,strictatime tmpfs "$new/dev"
for device in null zero full random urandom tty; do
    touch "$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
done
mkdir "$new/dev/pts" "$new/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts "$new/dev/pts"
ln -s pts/ptmx "$new/dev/ptmx"
ln -s /proc/self/fd "$new/dev/fd"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$new/dev/shm"
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$new/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$new/tmp"
mkdir "$new/run/outside"
mount --bind "$folder/outside" "$new/run/outside"
for program; do
    touch "$new/usr/bin/${program%%=*}"
    mount --bind -o ro "${program#*=}" "$new/usr/bin/${program%%=*}"
done

tr -d - </proc/sys/kernel/random/uuid >"$new/etc/machine-id"
echo "$hostname" >"$new/etc/hostname"
hostname "$hostname"
printf '%s\n' '127.0.0.1 localhost' '::1 localhost ip6-localhost ip6-loopback' "$address $hostname" "$here outside" >"$new/etc/hosts"
chroot "$new" chpasswd <"$folder/passwords"
rm -f "$new"/etc/ssh/ssh_host_*
chroot "$new" ssh-keygen -q -t ed25519 -N '' -C '' -f /etc/ssh/ssh_host_ed25519_key
chroot "$new" ssh-keygen -q -t ed25519 -N '' -C tests -f /run/outside/identity
for home in root home/admin home/careful; do
    mkdir -p -m 0700 "$new/$home/.ssh"
    cp "$new/run/outside/identity.pub" "$new/$home/.ssh/authorized_keys"
    chown -R --reference="$new/$home" "$new/$home/.ssh"
done
echo "$address $(cut -d ' ' -f 1,2 "$new/etc/ssh/ssh_host_ed25519_key.pub")" >"$new/run/outside/known_hosts"

cd "$new"
mkdir old
pivot_root . old
umount -l /old
rmdir /old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test NOTIFY_SOCKET=/run/outside/notify \
    /lib/systemd/systemd --log-target=journal-or-kmsg --show-status=no </dev/null

#!/bin/sh
# First process of one lab host, in namespaces of its own: it lays the host's files over the machine's and runs sshd.
# Usage: boot.sh HOSTDIR NAME [bound]; descriptor 3 is the lock on the lab's ports, held as long as this process lives.
# A bound host ends when descriptor 4 does, which the process that brought the lab up holds the other end of.
set -eu
dir=$1 name=$2

mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 holdfast-lab "$dir/mnt" # by this mount the lab recognises the host
echo "$name" >/proc/sys/kernel/hostname

# cover PATH KEY [LOWER]: writes below PATH stay in this host's memory; LOWER is laid over what the machine has there.
cover() {
    mkdir "$dir/mnt/$2" "$dir/mnt/$2.work"
    mount -t overlay "holdfast-lab" \
        -o "lowerdir=${3:+$3:}$1,upperdir=$dir/mnt/$2,workdir=$dir/mnt/$2.work" "$1"
}

# own PATH KEY: PATH is the host's directory KEY.
own() {
    mkdir -p "$1"
    mount --bind "$dir/$2" "$1"
}

cover /etc etc "$dir/etc"
own /etc/kolla etc/kolla
own /etc/mysql etc/mysql
cover /var/lib lib
own /var/lib/mysql var-lib-mysql
own /var/lib/docker var-lib-docker
own /var/lib/containers var-lib-containers
cover /var/log log
own /var/log/kolla var-log-kolla
mount -t tmpfs -o mode=755 holdfast-lab /run
mkdir -p /run/sshd /run/lock
mkdir -m 700 /run/root
own /run/mysqld run-mysqld

# Besides root's, a login that becomes root by sudo, which keeps what sshd tells of the container engine.
echo 'stack:x:2000:2000::/run/stack:/bin/sh' >>/etc/passwd
echo 'stack:*:19000:0:99999:7:::' >>/etc/shadow
echo 'stack:x:2000:' >>/etc/group
mkdir -m 700 /run/stack
chown 2000:2000 /run/stack
printf 'stack ALL=(ALL) NOPASSWD: ALL\nDefaults:stack env_keep += "DOCKER_HOST"\n' >/etc/sudoers.d/stack
chmod 440 /etc/sudoers.d/stack
install -m 644 "$dir/../../ssh/authorized_keys" /etc/ssh/authorized_keys

trap 'exit 0' TERM
if [ "${3:-}" = bound ]; then
    { read -r _ <&4 || kill -TERM 1; } 3>&- &
    exec 4<&-
fi
/usr/sbin/sshd -D -e -f "$dir/sshd_config" </dev/null >>"$dir/sshd.log" 2>&1 3>&- &
wait "$!"

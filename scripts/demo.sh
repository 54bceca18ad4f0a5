#!/bin/bash
# The main job, for real and from nothing: a three-node Galera cluster with the OpenStack schemas and a Kolla tree is
# backed up, shown, verified, destroyed and restored. Volumes of a Ceph cluster are captured twice, and one of them is
# deleted and brought back while it is being written to. All of it is copied to a bucket with object lock and offsite, where
# an attacker deletes in vain; damage is healed from there, and a lost vault made anew. A drill proves the copy of the database.
# The lab stays up afterwards.
# usage: scripts/demo.sh DIR
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$1
hold() { bin/holdfast -c "$dir/holdfast.yml" "$@"; }

names=() took=()
say() { printf '\n\033[1m== %s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi; }
step() { # NAME COMMAND...: run a step and remember its time
  local name=$1 began ended
  shift
  say "$name"
  began=$(date +%s.%N)
  "$@"
  ended=$(date +%s.%N)
  names+=("$name") took+=("$(awk -v a="$began" -v b="$ended" 'BEGIN{printf "%.1f", b-a}')")
}
sums() { bin/lab checksum "$dir" >"$1"; }
disaster() { # every node loses its data
  bin/lab destroy "$dir"
}
rbd_admin() { rbd -c "$dir/ceph/ceph.conf" "$@"; }
some='volumes/volume-0*' # of the lab's volumes
pick() { # a captured volume that nothing of Cinder's hangs on
  local v
  for v in $(hold show latest:rbd --json | grep -o 'volumes/volume-0[0-9a-f]\{7\}-[0-9a-f-]*' | sort -u); do
    if ! rbd_admin snap ls "$v" | grep -q ' snapshot-'; then echo "$v" && return; fi
  done
  return 1
}
write_to() { rbd_admin bench --io-type write --io-size 4K --io-total "$2" "$1" | tail -1; }
lose() { rbd_admin snap purge --no-progress "$1" && rbd_admin rm --no-progress "$1" && echo "$1 is gone"; }
instant() { # restore a volume and write to it while its data is still being copied
  local restore
  hold -q restore image latest:rbd "$1" --as "$1" --instant --yes &
  restore=$!
  until rbd_admin info "$1" >/dev/null 2>&1; do kill -0 $restore && sleep 0.1; done
  echo "$1 can be used; writing to it"
  write_to "$1" 1M
  wait $restore
}
scratch() { # lose a stretch of the largest pack of the local vault: more than its error correction mends
  local pack
  pack=$(find "$dir/vault/p" -type f -printf '%s %p\n' | sort -rn | head -1 | cut -d' ' -f2-)
  dd if=/dev/zero of="$pack" bs=64K seek=$(($(stat -c %s "$pack") / 131072)) count=4 conv=notrunc status=none
  echo "256 KiB in the middle of $pack are zeros now"
}
found() { # it is damage, and nothing else, that the command ends with
  local code=0
  "$@" || code=$?
  [ $code = 7 ] && echo "exit code 7, as for all damage"
}
rebuild() {
  hold init --yes && hold replicate local --from s3 && hold verify --all
}
compare() {
  sums "$dir/after.sums"
  diff "$dir/before.sums" "$dir/after.sums" >/dev/null || { echo "rows differ from before the disaster" >&2; diff "$dir/before.sums" "$dir/after.sums" | head >&2; exit 1; }
  echo "every table has the checksum it had before, on every node: $(wc -l <"$dir/after.sums") compared"
}

if [ -e "$dir/lab.json" ]; then
  say "an earlier demo is still up: taking it down first"
  bin/lab down "$dir"
fi
step "bring up a lab: 3 Galera nodes, a Kolla tree, sshd, Ceph with S3" bin/lab up --ceph --tiers "$dir"
step "create the vaults of three tiers and the recovery kit" hold init --yes
step "check everything a backup needs" hold doctor
sums "$dir/before.sums"
step "take a recovery point of databases and configuration" hold backup mariadb kolla ceph
step "show it" hold show latest:mariadb
step "verify it: read every byte back" hold verify latest:mariadb --full
step "the disaster: all nodes stopped, all datadirs wiped" disaster
step "restore the cluster from the point" hold restore mariadb latest:mariadb --cluster --yes
step "compare every table on every node" compare
step "restore one file of the configuration" hold restore files latest:kolla ctl1/etc/kolla/mariadb/galera.cnf --to "$dir/restored-files" --yes

step "capture some volumes" hold backup rbd --only "$some"
volume=$(pick)
write_to "$volume" 2M
step "capture them again: one has changed" hold backup rbd --only "$some"
step "another disaster: a volume is deleted" lose "$volume"
step "bring it back, and write to it meanwhile" instant "$volume"

step "copy all points to a bucket with object lock, and offsite over ssh" hold replicate
step "somebody with the keys of the bucket deletes everything in it" bin/lab attack "$dir"
step "take the deletions back" hold undelete s3 --yes
step "a disk loses a few sectors of the local vault" scratch
step "verify finds it" found hold verify --all --full
step "and heals it from another tier" hold verify --all --full --heal
step "the local vault is lost" rm -rf "$dir/vault"
step "make it anew, and fill it from the bucket" rebuild
step "drill: restore the database aside, compare every row of it, time it, and remove it again" hold drill mariadb
step "what retention would remove, and why" hold prune --dry-run
step "a day of the schedule in fast motion: the daemon, a bucket that fails, mails, the retry, Prometheus" bin/lab day "$dir" bin/holdfast packaging/prometheus/holdfast.rules.yml

say "what it did"
for i in "${!names[@]}"; do printf '%7s s  %s\n' "${took[$i]}" "${names[$i]}"; done
cat <<END

The lab is still up. Explore it:
  export HOLDFAST_CONFIG=$dir/holdfast.yml
  bin/holdfast status
  bin/holdfast points
  bin/holdfast restore table latest:mariadb nova.instances --dry-run
  bin/lab status $dir
Take it down with: make demo-down
END

#!/bin/bash
# The main job, for real and from nothing: a three-node Galera cluster with the OpenStack schemas and a Kolla tree is
# backed up, shown, verified, destroyed and restored. The lab stays up afterwards.
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
compare() {
  sums "$dir/after.sums"
  diff "$dir/before.sums" "$dir/after.sums" >/dev/null || { echo "rows differ from before the disaster" >&2; diff "$dir/before.sums" "$dir/after.sums" | head >&2; exit 1; }
  echo "every table has the checksum it had before, on every node: $(wc -l <"$dir/after.sums") compared"
}

if [ -e "$dir/lab.json" ]; then
  say "an earlier demo is still up: taking it down first"
  bin/lab down "$dir"
fi
step "bring up a lab: 3 Galera nodes, a Kolla tree, sshd" bin/lab up "$dir"
step "create the vault and the recovery kit" hold init --yes
step "check everything a backup needs" hold doctor
sums "$dir/before.sums"
step "take a recovery point" hold backup
step "show it" hold show latest
step "verify it: read every byte back" hold verify latest --full
step "the disaster: all nodes stopped, all datadirs wiped" disaster
step "restore the cluster from the point" hold restore mariadb latest --cluster --yes
step "compare every table on every node" compare
step "restore one file of the configuration" hold restore files latest ctl1/etc/kolla/mariadb/galera.cnf --to "$dir/restored-files" --yes

say "what it did"
for i in "${!names[@]}"; do printf '%7s s  %s\n' "${took[$i]}" "${names[$i]}"; done
cat <<END

The lab is still up. Explore it:
  export HOLDFAST_CONFIG=$dir/holdfast.yml
  bin/holdfast status
  bin/holdfast points
  bin/holdfast restore table latest nova.instances --dry-run
  bin/lab status $dir
Take it down with: make demo-down
END

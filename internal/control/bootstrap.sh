# Starts a Galera node's container as the first of a new cluster: its configuration names no peers for just this start.
# usage: sh -c SCRIPT bootstrap ENGINE CONTAINER GALERA.CNF
set -eu
engine=$1 container=$2 cnf=$3
kept=$cnf.holdfast-kept
# A kept copy means that an earlier bootstrap was cut off: that copy is the true configuration.
[ -e "$kept" ] || { cp -p "$cnf" "$kept.part" && mv "$kept.part" "$kept"; }
put_back() { cat "$kept" >"$cnf" && rm -f "$kept"; }
trap put_back EXIT
trap 'exit 1' HUP INT TERM
trap '' PIPE # nobody may be left to read what this says
grep -q '^[[:space:]]*wsrep_cluster_address[[:space:]]*=' "$kept" || { echo "$cnf names no wsrep_cluster_address" >&2; exit 1; }
sed 's|^\([[:space:]]*wsrep_cluster_address[[:space:]]*=[[:space:]]*\).*|\1gcomm://|' "$kept" >"$cnf"
"$engine" start "$container" >/dev/null
# Kolla's start script copies the configuration before the server reads it, so it is put back only when the server
# answers; ping succeeds even where the login is refused.
i=0
until "$engine" exec "$container" sh -c 'mariadb-admin ping || mysqladmin ping' >/dev/null 2>&1; do
  i=$((i + 1))
  [ "$i" -lt 1200 ] || { echo "the server in $container did not answer within 10 minutes" >&2; exit 1; }
  [ "$("$engine" inspect --format '{{.State.Running}}' "$container")" = true ] || { echo "container $container stopped: see its log" >&2; exit 1; }
  sleep 0.5
done
put_back
trap - EXIT
unit=kolla-$container-container.service
if command -v systemctl >/dev/null && systemctl cat "$unit" >/dev/null 2>&1; then systemctl start "$unit"; fi

#!/bin/bash
# schema.sh [OUT] regenerates the OpenStack database schemas that the lab loads (make schema).
#
# It installs the services' Python packages, runs their own migrations against a private MariaDB server in a
# temporary directory, and dumps what they made. The server listens on no port, only on a socket that root alone can
# reach; no service is started, and nothing stays behind but the packages. The same package versions give the same
# bytes: dates, counters and random identifiers are left out.
#
# Needs root on a Debian or Ubuntu with apt. Takes two to five minutes, most of it apt.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

out=${1:-$(realpath "$(dirname "$0")/../internal/lab/schema")/openstack.sql.gz}
packages=(python3-keystone python3-glance python3-cinder python3-nova python3-neutron python3-pymysql mariadb-server)
databases=(keystone glance cinder nova nova_api nova_cell0 neutron)
guard=/usr/sbin/policy-rc.d

work=$(mktemp -d /tmp/holdfast-schema.XXXXXX)
socket=$work/db/mysqld.sock
server=
guarded=

main() {
  trap cleanup EXIT
  install_packages
  start_server
  configure_services
  migrate
  dump | gzip -9n >"$work/out.gz"
  mv "$work/out.gz" "$out"
  echo "$out: $(stat -c %s "$out") bytes, $(zgrep -c '^CREATE TABLE' "$out") tables" >&2
}

cleanup() {
  local status=$? log
  if [ "$status" != 0 ]; then
    for log in "$work"/*.log; do echo "==> ${log##*/}" && tail -20 "$log"; done >&2
  fi
  if [ -n "$server" ]; then kill "$server" && wait "$server" || true; fi
  if [ -n "$guarded" ]; then rm -f "$guard"; fi
  rm -rf "$work"
}

# install_packages installs what is missing; the guard keeps maintainer scripts from starting services.
install_packages() {
  if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$guard"
    chmod 755 "$guard"
    guarded=yes
  fi
  dpkg-query -W "${packages[@]}" >/dev/null 2>&1 && return
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${packages[@]}" >"$work/apt.log" 2>&1
}

# start_server starts a throw-away server tuned for speed: nothing in it outlives the script.
start_server() {
  install -d -m 700 -o mysql "$work/db" "$work/db/tmp"
  chmod 711 "$work"
  export TMPDIR=$work/db/tmp # a starting server removes what others left, or still use, in a shared one
  mariadb-install-db --no-defaults --user=mysql --datadir="$work/db/data" --auth-root-authentication-method=normal \
    --skip-test-db >"$work/install.log" 2>&1
  mariadbd --no-defaults --user=mysql --datadir="$work/db/data" --socket="$socket" --pid-file="$work/db/pid" \
    --skip-networking --character-set-server=utf8mb3 --innodb-flush-method=nosync --debug-no-sync --innodb-doublewrite=0 \
    --innodb-buffer-pool-size=256M --performance-schema=OFF >"$work/mariadbd.log" 2>&1 &
  server=$!
  for _ in $(seq 300); do
    if sql -e 'SELECT 1' >/dev/null 2>&1; then return; fi
    kill -0 "$server"
    sleep 0.1
  done
  return 1
}

sql() { mariadb --no-defaults --socket="$socket" -uroot -N "$@"; }

url() { echo "mysql+pymysql://root@localhost/$1?unix_socket=$socket"; }

configure_services() {
  local s
  for s in "${databases[@]}"; do sql -e "CREATE DATABASE $s CHARACTER SET utf8mb3"; done
  for s in keystone glance cinder nova neutron; do
    printf '[DEFAULT]\nstate_path = %s\n[database]\nconnection = %s\n' "$work" "$(url "$s")" >"$work/$s.conf"
  done
  printf '[api_database]\nconnection = %s\n' "$(url nova_api)" >>"$work/nova.conf"
  sed -i '1a core_plugin = ml2' "$work/neutron.conf"
}

migrate() {
  run keystone keystone.cmd.manage db_sync
  run glance glance.cmd.manage db_sync
  run cinder cinder.cmd.manage db sync
  run nova nova.cmd.manage api_db sync
  run nova nova.cmd.manage cell_v2 map_cell0 --database_connection "$(url nova_cell0)"
  run nova nova.cmd.manage db sync
  run neutron neutron.db.migration.cli upgrade heads
}

# run SERVICE MODULE ARG... calls the main function of a service's management module with the service's config.
run() {
  local service=$1 module=$2
  shift 2
  echo "$service: $*" >&2
  (cd "$work" && /usr/bin/python3 -c "import sys; from $module import main; sys.argv[0] = '$service-manage'; sys.exit(main())" \
    --config-file "$work/$service.conf" "$@") >"$work/$service.log" 2>&1
}

# dump writes every schema without rows, then the rows that say which migrations ran.
dump() {
  local d p
  echo "-- The schemas of ${databases[*]}, made by the services' own migrations."
  echo "-- Regenerate with: make schema"
  for p in "${packages[@]}"; do echo "--   $p $(dpkg-query -W -f '${Version}' "$p")"; done
  for d in "${databases[@]}"; do
    printf '\nCREATE DATABASE `%s` CHARACTER SET utf8mb3;\nUSE `%s`;\n' "$d" "$d"
    dump_tables --no-data --routines "$d"
    dump_tables --no-create-info --skip-triggers --order-by-primary "$d" alembic_version
  done
}

# dump_tables leaves out what changes from run to run and the first line that old clients cannot read.
dump_tables() {
  mariadb-dump --no-defaults --socket="$socket" -uroot --skip-comments --skip-dump-date --skip-add-drop-table \
    --skip-add-locks "$@" | sed -e '1{/sandbox mode/d}' -e 's/ AUTO_INCREMENT=[0-9]*//' | sort_keys
}

# sort_keys orders the indexes of each table by name; the migrations create them in an order that depends on chance.
sort_keys() {
  awk '
    /^  (UNIQUE )?KEY / { sub(/,$/, ""); keys[++n] = $0; next }
    n {
      for (i = 2; i <= n; i++)
        for (j = i; j > 1 && keys[j] < keys[j-1]; j--) { swap = keys[j]; keys[j] = keys[j-1]; keys[j-1] = swap }
      for (i = 1; i <= n; i++) print keys[i] (i < n || !/^\)/ ? "," : "")
      n = 0
    }
    { print }'
}

main

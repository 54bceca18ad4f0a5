#!/bin/bash
# Runs every test against real servers and says which packages took the time.
# usage: scripts/test.sh TIMEOUT
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
# Two packages at a time: there are labs with real clusters behind many of them.
go test -count=1 -p 2 -timeout "${1:-45m}" ./... 2>&1 | tee "$log" || status=$?
echo
echo "slowest packages:"
awk '$1=="ok" || $1=="FAIL" {gsub(/s$/,"",$3); if ($3+0 > 5) printf "%8.1f s  %s\n", $3, $2}' "$log" | sort -rn | head -15
exit $status

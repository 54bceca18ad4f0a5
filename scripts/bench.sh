#!/bin/bash
# Measures Holdfast against today's commands on a lab on this disk, and writes the figures into docs/bench.md.
# usage: scripts/bench.sh [FLAG...]   (flags of test/bench, such as -run physical -doc '')
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./test/bench -holdfast bin/holdfast -dir .bench -doc docs/bench.md "$@"

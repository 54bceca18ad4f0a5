# Tells, in lines of NAME=VALUE, where the data directory of a server is on this machine and what it is like. Given a
# container engine and a container, it is the place behind the container's volume; the container may be stopped. It
# stands behind mark.sh.
# usage: sh -c SCRIPT holdfast ENGINE CONTAINER POINT OLD_TO, where ENGINE and OLD_TO may be empty
engine=${1-} container=${2-} point=${3-} oldto=${4-}
tool='mariadb-backup --no-defaults --version 2>&1 || mariabackup --no-defaults --version 2>&1'
if [ -n "$engine" ]; then
	datadir=$("$engine" inspect --format '{{range .Mounts}}{{if eq .Destination "/var/lib/mysql"}}{{.Source}}{{end}}{{end}}' "$container" 2>/dev/null)
	[ -n "$datadir" ] || datadir=$("$engine" volume inspect --format '{{.Mountpoint}}' mariadb 2>/dev/null)
	image=$("$engine" inspect --format '{{.Image}}' "$container" 2>/dev/null)
	echo "image=$image"
	[ -z "$image" ] || echo "backup=$("$engine" run --rm --network=none --entrypoint= "$image" sh -c "$tool" 2>&1 | tail -n 1)"
else
	defaults=$(command -v my_print_defaults || echo /usr/bin/my_print_defaults)
	datadir=$("$defaults" mysqld server mariadb mariadbd 2>/dev/null | sed -n 's/^--datadir=//p' | tail -n 1)
	datadir=${datadir:-/var/lib/mysql}
	echo "backup=$(sh -c "$tool" 2>&1 | tail -n 1)"
fi
datadir=${datadir%/}
echo "datadir=$datadir"
[ -n "$datadir" ] || exit 0

# What an earlier restore of the same point kept stays.
kept=
next() { # sets kept to the last of NAME, NAME-2, ... that is there, and aside to the one after it
	aside=$1 n=1
	while [ -e "$aside" ]; do kept=$aside n=$((n + 1)) aside=$1-$n; done
}
next "$datadir.holdfast-old-$point"
[ -z "$oldto" ] || next "${oldto%/}/mariadb-$point"
staged=$datadir.holdfast-new-$point

# An interrupted restore may have moved the datadir aside already. What it was like is read off where it is now.
model=$datadir
if [ ! -d "$datadir" ]; then
	[ ! -d "$staged" ] && [ ! -d "$datadir.holdfast-empty-$point" ] || echo moved=1
	[ -n "$kept" ] || exit 0
	model=$kept
	echo absent=1
elif spare "$datadir"; then
	kept=$(cat "$datadir/$mark") model=$kept
	echo spare=1
elif [ -z "$(ls -A "$datadir")" ]; then
	model=${kept:-$datadir}
	echo empty=1
fi
echo exists=1
echo "kept=$kept"
echo "aside=$aside"
if [ -d "$datadir" ]; then
	if [ "$(stat -c %d "$datadir")" != "$(stat -c %d "$datadir/..")" ] || mountpoint -q "$datadir" 2>/dev/null; then echo mount=1; fi
fi
echo "uid=$(stat -c %u "$model")"
echo "gid=$(stat -c %g "$model")"
echo "mode=$(stat -c %a "$model")"
label=$(stat -c %C "$model" 2>/dev/null)
case $label in *:*) echo "label=$label" ;; esac
[ ! -r "$model/grastate.dat" ] || echo "uuid=$(sed -n 's/^uuid:[[:space:]]*//p' "$model/grastate.dat")"

room() { df -kP "$1" | awk 'NR==2 {print $4}'; }
used() { if [ -d "$1" ]; then du -sk "$1" | cut -f 1; else echo 0; fi; }
free=$(room "$(dirname "$datadir")")
[ ! -d "$datadir" ] || free=$(room "$datadir")
if [ -d "$staged" ]; then
	echo stale=1
	free=$((free + $(used "$staged")))
	! untouched "$staged" || echo ready=1
fi
echo "free=$free"
for dir in "$datadir".holdfast-new-*; do
	[ ! -d "$dir" ] || [ "$dir" = "$staged" ] || echo "left=$dir"
done
parent=$(dirname "$aside")
while [ ! -e "$parent" ]; do parent=$(dirname "$parent"); done
if [ -d "$datadir" ] && [ "$(stat -c %d "$parent")" != "$(stat -c %d "$datadir")" ]; then
	echo "olduse=$(used "$datadir")"
	echo "oldfree=$(($(room "$parent") + $(used "$aside.part")))"
fi

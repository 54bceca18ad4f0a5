# Tells, in lines of NAME=VALUE, where the data directory of a server is on this machine and what it is like. Given a
# container engine and a container, it is the place behind the container's volume; the container may be stopped.
# usage: sh -c SCRIPT holdfast ENGINE CONTAINER POINT OLD_TO, where ENGINE and OLD_TO may be empty
engine=${1-} container=${2-} point=${3-} oldto=${4-}
if [ -n "$engine" ]; then
	datadir=$("$engine" inspect --format '{{range .Mounts}}{{if eq .Destination "/var/lib/mysql"}}{{.Source}}{{end}}{{end}}' "$container" 2>/dev/null)
	[ -n "$datadir" ] || datadir=$("$engine" volume inspect --format '{{.Mountpoint}}' mariadb 2>/dev/null)
	image=$("$engine" inspect --format '{{.Image}}' "$container" 2>/dev/null)
	echo "image=$image"
	[ -z "$image" ] || echo "backup=$("$engine" run --rm --network=none --entrypoint= "$image" sh -c 'mariadb-backup --no-defaults --version 2>&1 || mariabackup --no-defaults --version 2>&1' 2>&1 | tail -n 1)"
else
	defaults=$(command -v my_print_defaults || echo /usr/bin/my_print_defaults)
	datadir=$("$defaults" mysqld server mariadb mariadbd 2>/dev/null | sed -n 's/^--datadir=//p' | tail -n 1)
	datadir=${datadir:-/var/lib/mysql}
	echo "backup=$(mariadb-backup --no-defaults --version 2>&1 | tail -n 1)"
fi
echo "datadir=$datadir"
[ -n "$datadir" ] && [ -d "$datadir" ] || exit 0
echo exists=1
datadir=${datadir%/}
if [ "$(stat -c %d "$datadir")" != "$(stat -c %d "$datadir/..")" ] || mountpoint -q "$datadir" 2>/dev/null; then echo mount=1; fi
echo "uid=$(stat -c %u "$datadir")"
echo "gid=$(stat -c %g "$datadir")"
echo "mode=$(stat -c %a "$datadir")"
echo "free=$(df -kP "$datadir" | awk 'NR==2 {print $4}')"
label=$(stat -c %C "$datadir" 2>/dev/null)
case $label in *:*) echo "label=$label" ;; esac
[ ! -d "$datadir.holdfast-new-$point" ] || echo stale=1
aside=$datadir.holdfast-old-$point
[ -z "$oldto" ] || aside=${oldto%/}/mariadb-$point
# What an earlier restore of the same point kept stays. A datadir with nothing in it needs no place of its own.
base=$aside n=1
while [ -e "$aside" ]; do
	echo "kept=$aside"
	n=$((n + 1)) aside=$base-$n
done
echo "aside=$aside"
[ -n "$(ls -A "$datadir")" ] || echo empty=1
parent=$(dirname "$aside")
while [ ! -e "$parent" ]; do parent=$(dirname "$parent"); done
if [ "$(stat -c %d "$parent")" != "$(stat -c %d "$datadir")" ]; then
	echo "olduse=$(du -sk "$datadir" | cut -f 1)"
	echo "oldfree=$(df -kP "$parent" | awk 'NR==2 {print $4}')"
fi
[ ! -r "$datadir/grastate.dat" ] || echo "uuid=$(sed -n 's/^uuid:[[:space:]]*//p' "$datadir/grastate.dat")"

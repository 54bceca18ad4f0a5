# Runs one command for holdfast: sh -c THIS holdfast
# Must work in dash, bash and busybox ash. Every name begins with hf_, so that it never meets one of the environment.
#
# stdin brings records, "KEY COUNT" and then COUNT lines, up to "end 0"; then lines for as long as the command may
# live: "." is a heartbeat, "N" is followed by N bytes of the command's input, "0" ends that input. When stdin ends, or
# nothing came for the agreed patience, the command is killed before it could take a cut input for a complete one. Where the record
# "feed" says direct, the input comes by the pipe whose ends are open as descriptors 6 and 7 instead: its end is not seen before "0"
# came, since its writing end is held open until then.
set +a
trap - PIPE
unset hf_nonce hf_secret hf_value hf_line hf_left hf_key hf_count hf_dir hf_feed hf_patience hf_file hf_new
LC_ALL=C TZ=UTC

hf_say() { printf '\nholdfast %s %s\n' "$hf_nonce" "$*" >&2; }

hf_refuse() {
	hf_say refused "$*"
	exit 125
}

# The value of a record: $1 lines, joined by newlines.
hf_take() {
	hf_left=$1
	IFS= read -r hf_value || exit 125
	while [ "$hf_left" -gt 1 ]; do
		IFS= read -r hf_line || exit 125
		hf_value="$hf_value
$hf_line"
		hf_left=$((hf_left - 1))
	done
}

# The environment of a container's first process, which whoever entered the container left open as descriptor 9.
hf_adopt() {
	[ -e /proc/self/fd/9 ] || return 0
	hf_value=$(tr '\n\0' ' \n' <&9)
	exec 9<&-
	IFS='
'
	set -f
	for hf_line in $hf_value; do
		case ${hf_line%%=*} in
		*[!A-Za-z0-9_]* | '' | [0-9]* | hf_* | IFS | UID | EUID | PPID | GROUPS | PWD | SHELLOPTS | BASH*) ;;
		*) export "$hf_line" ;;
		esac
	done
	set +f
	unset IFS hf_value
}

# Is $1 a file system in memory of its own?
hf_memory() {
	hf_key=
	while read -r hf_line hf_value hf_count hf_left; do
		[ "$hf_value" = "$1" ] && hf_key=$hf_count
	done </proc/mounts
	[ "$hf_key" = tmpfs ] && [ -w "$1" ]
}

# The secret goes into a file that has lost its name already, open as descriptor 3.
hf_keep() {
	[ "$(command -v printf)" = printf ] || hf_refuse "secret: printf is not built into sh"
	for hf_file in /dev/shm /tmp ''; do
		hf_memory "$hf_file" && break
	done
	[ -n "$hf_file" ] || hf_refuse "secret: neither /dev/shm nor /tmp is a writable tmpfs"
	hf_file=$hf_file/holdfast.$hf_nonce hf_left=$(umask)
	umask 077
	set -C
	: >"$hf_file" || hf_refuse "secret: create a file in memory"
	set +C
	exec 3<>"$hf_file"
	rm -f "$hf_file"
	umask "$hf_left"
	printf '%s' "$hf_secret" >&3
	unset hf_secret hf_value
}

# Each process as "PID PPID GROUP SESSION".
hf_processes() {
	for hf_file in /proc/[0-9]*/stat; do
		IFS= read -r hf_line <"$hf_file" || continue
		hf_key=${hf_line%% *} hf_line=${hf_line##*) }
		hf_line=${hf_line#* }
		hf_value=${hf_line#* * * }
		echo "$hf_key ${hf_line%" $hf_value"}"
	done 2>/dev/null
}

# When process $1 started, in clock ticks since boot: with its number that names it for ever.
hf_born() {
	IFS= read -r hf_line <"/proc/$1/stat" || return
	set -- ${hf_line##*) }
	shift 19
	echo "$1"
}

# Kills the group and the session of the command, which is the child of $$ that leads a group.
hf_hunt() {
	hf_processes | while read -r hf_key hf_left hf_count hf_value; do
		[ "$hf_left $hf_count" = "$$ $hf_key" ] && echo "$hf_key"
	done | while read -r hf_new; do
		kill -KILL "-$hf_new"
		hf_processes | while read -r hf_key hf_left hf_count hf_value; do
			[ "$hf_value" = "$hf_new" ] && kill -KILL "$hf_key"
		done
	done
}

# One line of stdin; fails at its end, and when none came in time.
hf_beat() {
	if command -v timeout >/dev/null; then
		timeout "$hf_patience" sh -c 'IFS= read -r line && echo "$line"'
	else
		IFS= read -r hf_line && echo "$hf_line"
	fi
}

# Passes $1 bytes of stdin on, as they come; fails when the command takes no more.
hf_pass() {
	if [ $(($1 % 262144)) -eq 0 ]; then
		dd bs=262144 count=$(($1 / 262144)) iflag=fullblock
	else
		dd bs="$1" count=1 iflag=fullblock
	fi
}

# Some of stdin, as many bytes as it prints; none at its end, and when none came in time.
hf_waste() {
	if command -v timeout >/dev/null; then
		timeout "$hf_patience" dd bs=262144 count=1
	else
		dd bs=262144 count=1
	fi | wc -c
}

# Takes stdin to its end, which comes when the command's is known: some of those that pass output on lose the last of it when they
# have input left that nobody takes.
hf_drain() {
	if command -v timeout >/dev/null; then
		timeout "$hf_patience" cat
	else
		cat
	fi >/dev/null 2>&1
}

# Follows stdin as long as it lives, passes the command's input on to stdout, and kills the command when stdin is cut.
hf_watch() {
	while hf_line=$(hf_beat); do
		case $hf_line in
		0) exec >/dev/null ;;
		[1-9]*) hf_pass "$hf_line" || {
			# The command takes no more of it, and nobody knows where in what is left the next line begins.
			while [ "$(hf_waste)" -gt 0 ]; do :; done
			break
		} ;;
		esac
	done
	hf_count=0
	while [ "$hf_count" -lt 100 ] && kill -0 "$$"; do
		hf_hunt
		sleep 0.1 || sleep 1
		hf_count=$((hf_count + 1))
	done
}

while IFS=' ' read -r hf_key hf_count && [ "$hf_key" != end ]; do
	hf_take "$hf_count"
	case $hf_key in
	nonce) hf_nonce=$hf_value && hf_adopt ;;
	arg) set -- "$@" "$hf_value" ;;
	env) export "$hf_value" ;;
	dir) hf_dir=$hf_value ;;
	patience) hf_patience=$hf_value ;;
	feed) hf_feed=$hf_value ;;
	secret) hf_secret=$hf_value ;;
	esac
done
[ "$hf_key" = end ] || exit 125
unset hf_value
export LC_ALL=C TZ=UTC
[ -z "${hf_dir-}" ] || cd -- "$hf_dir" || hf_refuse "no such directory: $hf_dir"
command -v -- "$1" >/dev/null || {
	echo "$1: not found" >&2
	hf_say 127
	exit 127
}
exec 4<&0 </dev/null 3<&- 5<&- 8<&-
[ "${hf_feed-}" = direct ] || exec 6<&- 7<&-
[ -z "${hf_secret-}" ] || hf_keep
hf_new=setsid
command -v setsid >/dev/null || {
	set -m && hf_new=
} || hf_refuse "neither setsid nor job control"

if [ -n "${hf_feed-}" ]; then
	# A shell may wait for all of a pipeline, so the watcher leaves it.
	if [ "$hf_feed" = direct ]; then
		(exec >&7 2>/dev/null 3<&- 6<&- 7>&- && hf_watch <&4 4<&- &)
		$hf_new "$@" <&6 4<&- 6<&- 7>&- &
	else
		(exec 2>/dev/null 3<&- && hf_watch <&4 4<&- &) | $hf_new "$@" 4<&- &
	fi
	hf_left=$! hf_new=
	exec 6<&- 7>&-
	hf_say started "$hf_left $(hf_born "$hf_left")"
else
	$hf_new "$@" </dev/null 4<&- &
	hf_left=$!
	(exec <&4 >/dev/null 2>&1 3<&- 4<&- && hf_watch) &
	hf_new=$!
fi
exec 3<&-
[ -n "${hf_feed-}" ] || exec 4<&-
trap '' PIPE
wait "$hf_left" 2>/dev/null
hf_count=$?
{
	[ -z "$hf_new" ] || kill "$hf_new"
	# What is left of its group is killed, after a moment in which a daemon may still move to a session of its own.
	for hf_line in 0 1 2 3 4 5 6 7 8 9; do
		kill -0 "-$hf_left" || break
		sleep 0.1 || sleep 1
	done
	kill -KILL "-$hf_left"
} 2>/dev/null
printf '\036holdfast %s end\n' "$hf_nonce"
hf_say "$hf_count"
[ -z "${hf_feed-}" ] || hf_drain <&4
exit "$hf_count"

# Runs a command inside a container: sh -c THIS enter ENGINE NAME MODE USER COMMAND...
# ENGINE is quoted shell words; MODE is auto, exec or nsenter; USER may be empty: the user of the container's first
# process. What goes wrong is told in lines "holdfast-enter: CAUSE" on stderr.
hf_engine=$1 hf_name=$2 hf_mode=$3 hf_user=$4
shift 4

hf_fail() {
	printf 'holdfast-enter: %s\n' "$*" >&2
	exit 125
}

hf_state() {
	eval "$hf_engine inspect --type container -f '{{.State.Running}} {{.State.Pid}} {{.Id}} {{.State.StartedAt}}' \"\$hf_name\""
}

hf_exec() {
	[ -z "$hf_user" ] || set -- --user "$hf_user" "$hf_name" "$@"
	[ -n "$hf_user" ] || set -- "$hf_name" "$@"
	eval "exec $hf_engine exec -i \"\$@\""
}

# Can this process enter the namespaces of process $hf_pid with the rights of root?
hf_able() {
	[ "$(id -u)" = 0 ] && command -v nsenter >/dev/null &&
		[ "$(readlink /proc/self/ns/user)" = "$(readlink "/proc/$hf_pid/ns/user")" ]
}

# Sets hf_uid and hf_gid from USER, looked up in the container's own files, or from its first process.
hf_identify() {
	while read -r hf_key hf_value hf_rest; do
		case $hf_key in
		Uid:) hf_uid=$hf_value ;;
		Gid:) hf_gid=$hf_value ;;
		esac
	done <"/proc/$hf_pid/status"
	[ -n "$hf_user" ] || return 0
	hf_uid= hf_gid=0
	case ${hf_user%%:*} in *[!0-9]*) ;; *) hf_uid=${hf_user%%:*} ;; esac
	while IFS=: read -r hf_key hf_rest hf_value hf_group hf_rest; do
		if [ "$hf_key" = "${hf_user%%:*}" ] || [ "$hf_value" = "$hf_uid" ]; then
			hf_uid=$hf_value hf_gid=$hf_group
			break
		fi
	done <"/proc/$hf_pid/root/etc/passwd"
	case $hf_user in *:*) hf_gid=${hf_user#*:} ;; esac
	case "$hf_uid:$hf_gid" in
	:* | *: | *[!0-9:]*) hf_fail "unknown user $hf_user" ;;
	esac
}

command -v "$(eval "set -- $hf_engine; echo \"\$1\"")" >/dev/null || hf_fail "no engine"
hf_found=$(hf_state) || hf_fail "absent"
hf_pid=${hf_found#* } && hf_pid=${hf_pid%% *}
case $hf_found in true\ *) ;; *) hf_fail "stopped" ;; esac
case $hf_mode in
exec) hf_exec "$@" ;;
auto) hf_able || hf_exec "$@" ;;
*) hf_able || hf_fail "nsenter needs root and nsenter at the container's host" ;;
esac

# The namespaces are held open first and the container asked again after: the process id was its own all the while.
exec 5<"/proc/$hf_pid/ns/mnt" 6<"/proc/$hf_pid/ns/pid" 7<"/proc/$hf_pid/ns/net" 8<"/proc/$hf_pid/ns/ipc" \
	9<"/proc/$hf_pid/environ" 3<"/proc/$hf_pid/ns/uts" || hf_fail "stopped"
hf_identify
[ "$(hf_state)" = "$hf_found" ] || hf_fail "stopped"
exec env -i "$(command -v nsenter)" --mount=/proc/self/fd/5 --pid=/proc/self/fd/6 --net=/proc/self/fd/7 \
	--ipc=/proc/self/fd/8 --uts=/proc/self/fd/3 -S "$hf_uid" -G "$hf_gid" -- "$@"

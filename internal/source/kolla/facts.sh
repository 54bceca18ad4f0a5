# Prints facts of this host as lines "KEY TAB VALUE". $1 is the container engine. A fact that cannot be had is left out.
fact() { [ -z "$2" ] || printf '%s\t%s\n' "$1" "$2"; }

fact hostname "$(uname -n)"
fact kernel "$(uname -r)"
fact machine_id "$(cat /etc/machine-id 2>/dev/null)"
fact system "$(. /etc/os-release 2>/dev/null && printf '%s' "${PRETTY_NAME-}")"
command -v "$1" >/dev/null || exit 0
fact engine "$("$1" version --format '{{.Server.Version}}' 2>/dev/null)"
containers=$("$1" ps --quiet --no-trunc 2>/dev/null) || {
	# An engine that is there and does not answer is not one that runs nothing. docker's program alone says nothing of an engine.
	at=${DOCKER_HOST:-unix:///var/run/docker.sock}
	[ "$1" = docker ] && [ "${at#unix://}" != "$at" ] && [ ! -S "${at#unix://}" ] || fact engine_silent 1
	exit 0
}
[ -n "$containers" ] || exit 0
"$1" inspect --type container --format 'container	{{.Name}} {{.Config.Image}} {{.Image}}' $containers 2>/dev/null || :

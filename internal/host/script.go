package host

import (
	_ "embed"
	"strings"
)

//go:embed supervisor.sh
var supervisorSource string

//go:embed enter.sh
var enterSource string

var (
	supervisor = trimScript(supervisorSource)
	enter      = trimScript(enterSource)
)

// killScript kills the session of process $1 if that started at $2.
const killScript = `IFS= read -r stat <"/proc/$1/stat" || exit 0
leader=$1 born=$2
set -- ${stat##*) }
shift 19
[ "$1" = "$born" ] || exit 0
kill -KILL "-$leader"
for file in /proc/[0-9]*/stat; do
	IFS= read -r stat <"$file" || continue
	pid=${stat%% *}
	set -- ${stat##*) }
	[ "$4" != "$leader" ] || kill -KILL "$pid"
done 2>/dev/null
exit 0`

// trimScript drops comment lines and indentation, so that less of the script travels and shows in process lists.
func trimScript(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		line = strings.TrimLeft(line, "\t")
		if line == "\n" || strings.HasPrefix(line, "#") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// supervised runs the supervisor, which gets everything else over stdin: no login shell, command line limit or engine
// (docker's mends what is not UTF-8) then stands between a command and its arguments.
func supervised() []string { return []string{"sh", "-c", supervisor, "holdfast"} }

// quote makes one shell word of each argument and joins them.
func quote(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

package mariadb

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// address is where a node's own server listens, as its configuration says.
type address struct {
	socket  string // set when the socket is there
	host    string
	port    int
	datadir string
}

// tools are the names under which a node has the tools. Old releases know only the mysql names.
type tools struct {
	client, dump, backup string // "" when absent
	skipVerify           bool   // the client verifies certificates unless told not to; only looked at where it matters
	ca                   string // certificate authority of Kolla's backend TLS, "" when there is none
}

// surveyScript tells, in lines of NAME=VALUE, what a node has. It takes no arguments and changes nothing.
const surveyScript = `
tool() {
	name=$1; shift
	for t in "$@"; do
		if command -v "$t" >/dev/null 2>&1; then echo "$name=$t"; return; fi
	done
}
tool client mariadb mysql
tool dump mariadb-dump mysqldump
tool backup mariadb-backup mariabackup
d=$(command -v my_print_defaults || echo /usr/bin/my_print_defaults)
options=$("$d" mysqld server mariadb mariadbd 2>/dev/null)
socket=
for o in $options; do
	case $o in
	--socket=*) socket=${o#*=} ;;
	--bind[-_]address=*|--port=*|--datadir=*) echo "${o#--}" ;;
	esac
done
for s in "$socket" /run/mysqld/mysqld.sock /var/run/mysqld/mysqld.sock /var/lib/mysql/mysql.sock /var/lib/mysql/mariadb.sock; do
	if [ -n "$s" ] && [ -S "$s" ]; then echo "socket=$s"; exit 0; fi
done
if [ -r /etc/mariadb/certs/root.crt ]; then echo ca=/etc/mariadb/certs/root.crt; fi
c=$(command -v mariadb || command -v mysql) || exit 0
if "$c" --no-defaults --help 2>/dev/null | grep -q '^ssl-verify-server-cert *TRUE'; then echo skip-verify=1; fi
`

// survey asks a node for its tools and its server's address.
func survey(ctx context.Context, n Node) (tools, address, error) {
	out, err := host.Output(ctx, n.Host, host.Cmd{Args: []string{"sh", "-c", surveyScript}})
	t, a := parseSurvey(out)
	if t.client == "" {
		if err == nil {
			err = problem.New(problem.Failed, "install the MariaDB client of the server's version there", "no mariadb client")
		}
		return t, a, fmt.Errorf("look for the tools on %s: %w", n.Host, err)
	}
	return t, a, nil
}

func parseSurvey(out []byte) (tools, address) {
	var t tools
	a := address{port: 3306, host: "127.0.0.1"}
	for line := range strings.Lines(string(out)) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "=")
		if !ok {
			continue
		}
		switch name {
		case "client":
			t.client = value
		case "dump":
			t.dump = value
		case "backup":
			t.backup = value
		case "skip-verify":
			t.skipVerify = true
		case "ca":
			t.ca = value
		default:
			a.set(name, value)
		}
	}
	return t, a
}

// set takes one option of the server's configuration; the last one counts, as it does for the server.
func (a *address) set(name, value string) {
	switch strings.ReplaceAll(name, "_", "-") {
	case "socket":
		a.socket = value
	case "datadir":
		a.datadir = value
	case "port":
		if n, err := strconv.Atoi(value); err == nil {
			a.port = n
		}
	case "bind-address":
		// A server may listen on several addresses; any of them leads to it.
		first, _, _ := strings.Cut(value, ",")
		if first != "" && first != "*" && first != "0.0.0.0" && first != "::" {
			a.host = first
		}
	}
}

// String tells where the server is reached.
func (a address) String() string {
	if a.socket != "" {
		return a.socket
	}
	return net.JoinHostPort(a.host, strconv.Itoa(a.port))
}

// options are what makes a tool talk to this server and to no other.
func (a address) options(t tools, user string) []string {
	if a.socket != "" {
		return []string{"--user=" + user, "--protocol=socket", "--socket=" + a.socket}
	}
	o := []string{"--user=" + user, "--protocol=tcp", "--host=" + a.host, "--port=" + strconv.Itoa(a.port)}
	switch {
	case t.ca != "":
		o = append(o, "--ssl-ca="+t.ca)
	case t.skipVerify:
		o = append(o, "--skip-ssl-verify-server-cert")
	}
	return o
}

// optionFile is the content of the secret option file of a password. Its quoting is that of the option files of
// MariaDB: a backslash escapes, a quote of the other kind does not matter.
func optionFile(password secret.Secret) secret.Secret {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	return secret.New("[client]\npassword=\"" + escape.Replace(password.Reveal()) + "\"\n")
}

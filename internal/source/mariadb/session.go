package mariadb

import (
	"context"
	"fmt"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/secret"
)

// session is a node with all that is needed to run its tools against its own server.
type session struct {
	node  Node
	tools tools
	addr  address
	user  string
	file  secret.Secret // the option file with the password
	alone bool          // the option file is the only one that counts
}

// open surveys a node. It does not yet talk to the server.
func open(ctx context.Context, shard Shard, n Node) (*session, error) {
	t, a, err := survey(ctx, n)
	if err != nil {
		return nil, err
	}
	return &session{node: n, tools: t, addr: a, user: shard.User, file: optionFile(shard.Password)}, nil
}

// session returns the node's session, opening it the first time.
func (s *Source) session(ctx context.Context, shard Shard, n Node) (*session, error) {
	key := fmt.Sprintf("%d/%s", shard.ID, n.Name)
	s.mu.Lock()
	sess := s.sessions[key]
	s.mu.Unlock()
	if sess != nil {
		return sess, nil
	}
	sess, err := open(ctx, shard, n)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[key] = sess
	return sess, nil
}

// version is what a tool says of itself, "" when it does not run.
func (s *session) version(ctx context.Context, tool string) string {
	// Some tell it on stderr.
	out, err := host.Output(ctx, s.node.Host, host.Cmd{Args: []string{"sh", "-c", `"$0" --no-defaults --version 2>&1`, tool}})
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// command completes a tool's own arguments with those that lead it to the server. The option file must come first. HOME
// is set so that nobody's own option file has a say; one in /etc is the site's, and has.
func (s *session) command(tool string, args ...string) host.Cmd {
	option := "--defaults-extra-file="
	if s.alone {
		option = "--defaults-file="
	}
	all := []string{tool, option + host.SecretPath}
	all = append(all, s.addr.options(s.tools, s.user)...)
	return host.Cmd{Args: append(all, args...), Secret: s.file, Env: []string{"HOME=/nonexistent"}}
}

// query runs statements and returns the rows of all of them together.
func (s *session) query(ctx context.Context, sql string) ([][]string, error) {
	c := s.command(s.tools.client, "--batch", "--skip-column-names", "--connect-timeout=10", "--default-character-set=utf8mb4", "--execute="+sql)
	out, err := host.Output(ctx, s.node.Host, c)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", s.node.Name, err)
	}
	return parseRows(string(out)), nil
}

// parseRows undoes the escaping of the client's batch mode.
func parseRows(out string) (rows [][]string) {
	unescape := strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\0`, "\x00")
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for i, f := range fields {
			fields[i] = unescape.Replace(f)
		}
		rows = append(rows, fields)
	}
	return rows
}

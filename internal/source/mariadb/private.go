package mariadb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"holdfast/internal/host"
	"holdfast/internal/stream"
	"holdfast/internal/stream/sqldump"
)

// Private is a server that nobody else uses, reached at its socket by the programs of a host.
type Private struct {
	Name         string // for messages
	Host         host.Host
	Socket       string
	Client, Dump string // the names of the programs there
}

// Connect returns a way to run statements as l. It does not yet log in, and reads no option file of the host.
func (p Private) Connect(l Login) *Conn {
	return &Conn{&session{
		node: Node{Name: p.Name, Host: p.Host}, tools: tools{client: p.Client, dump: p.Dump}, addr: address{socket: p.Socket},
		user: l.User, file: optionFile(l.Password), alone: true,
	}}
}

// DumpInto dumps everything as a capture does, splits it into a tree, and returns the number and the hash of the rows of each
// table. Read is told how many more bytes of the dump were used.
func (c *Conn) DumpInto(ctx context.Context, into stream.Tree, read func(n int64)) (sqldump.Summary, error) {
	s := c.sess
	cmd := buffered(s.command(s.tools.dump, slices.Concat(everything, rowArgs)...))
	cmd.Bulk = true
	var log stderrLog
	cmd.OnStderr = log.add
	var sum sqldump.Summary
	err := host.Stream(ctx, s.node.Host, cmd, func(r io.Reader) (err error) {
		sum, err = sqldump.Split(ctx, r, into, sqldump.Options{Read: read})
		return err
	})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		err = said{exit, log.meaningful()}
	}
	if err != nil {
		return sum, fmt.Errorf("dump %s: %w", s.node.Name, err)
	}
	return sum, nil
}

// Tool runs one of the programs that talk to a server and returns what it writes.
func (c *Conn) Tool(ctx context.Context, tool string, args ...string) ([]byte, error) {
	out, err := host.Output(ctx, c.sess.node.Host, c.sess.command(tool, args...))
	if err != nil {
		return nil, fmt.Errorf("run %s on %s: %w", tool, c.sess.node.Name, err)
	}
	return out, nil
}

package mariadb

import (
	"context"
	"fmt"
	"io"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/secret"
)

// Status is what a running server says of itself.
type Status struct {
	Node        string
	Version     string
	Galera      bool
	ClusterUUID string
	ClusterSize int64
	Primary     bool
	Synced      bool
	State       string // wsrep_local_state_comment
	Clients     []Client
}

// Client counts the connections of one user.
type Client struct {
	User  string
	Count int
}

// Login is who speaks to a server.
type Login struct {
	User     string
	Password secret.Secret
}

// Conn is a way to run statements on one server, through the client that stands beside it.
type Conn struct{ sess *session }

// Connect finds the tools and the address of a node's server. It does not yet log in.
func Connect(ctx context.Context, n Node, l Login) (*Conn, error) {
	sess, err := open(ctx, Shard{User: l.User, Password: l.Password}, n)
	if err != nil {
		return nil, err
	}
	return &Conn{sess}, nil
}

// Query runs statements and returns the rows of all of them together.
func (c *Conn) Query(ctx context.Context, sql string) ([][]string, error) {
	return c.sess.query(ctx, sql)
}

// Load feeds SQL to the client, which stops at the first statement that fails. The caller must make sure that a feed
// which was cut can be told from a whole one. Database, when not empty, is the one that unqualified names mean.
func (c *Conn) Load(ctx context.Context, database string, sql io.Reader) error {
	args := []string{"--batch", "--default-character-set=utf8mb4", "--binary-mode", "--max-allowed-packet=1G"}
	if database != "" {
		args = append(args, "--database="+database)
	}
	cmd := c.sess.command(c.sess.tools.client, args...)
	cmd.Stdin, cmd.Bulk = sql, true
	err := host.Run(ctx, c.sess.node.Host, cmd)
	if err != nil {
		return fmt.Errorf("load into %s: %w", c.sess.node.Name, err)
	}
	return nil
}

// clientsSQL counts connections that could write; those of the server itself and of this session are left out.
const clientsSQL = `SELECT USER, COUNT(*) FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() ` +
	`AND USER NOT IN ('system user','event_scheduler','') GROUP BY USER ORDER BY USER`

// Status asks the server.
func (c *Conn) Status(ctx context.Context) (Status, error) {
	f, err := look(ctx, c.sess, false)
	if err != nil {
		return Status{}, err
	}
	rows, err := c.sess.query(ctx, clientsSQL)
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Node: c.sess.node.Name, Version: f.get("version"), Galera: f.galera(),
		ClusterUUID: f.get("wsrep_cluster_state_uuid"), ClusterSize: f.number("wsrep_cluster_size"),
		Primary: f.get("wsrep_cluster_status") == "Primary", State: f.get("wsrep_local_state_comment"),
	}
	s.Synced = s.State == "Synced" && f.on("wsrep_ready")
	for _, r := range rows {
		var n int
		if len(r) == 2 {
			fmt.Sscan(r[1], &n)
			s.Clients = append(s.Clients, Client{r[0], n})
		}
	}
	return s, nil
}

// Quote makes name an SQL identifier.
func Quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"holdfast/internal/lab/schema"
)

type runSQL func(ctx context.Context, sql io.Reader) error

// loadData loads what shard s holds. Further shards hold the OpenStack schemas too: which service lives where is a
// matter of the deployment.
func (l *Lab) loadData(ctx context.Context, s Shard, run runSQL) error {
	computes := []string{"cmp1", "cmp2"}
	if _, err := schema.Load(ctx, run, schema.Options{Seed: l.Options.Seed + int64(s.ID), Scale: l.Options.Rows, Computes: computes}); err != nil {
		return fmt.Errorf("load schemas: %w", err)
	}
	return nil
}

// accounts makes the database's accounts: root, backup with the least it needs, and one per service.
func (l *Lab) accounts() string {
	var b strings.Builder
	fmt.Fprintf(&b, "DELETE FROM mysql.global_priv WHERE User='';\nFLUSH PRIVILEGES;\n")
	fmt.Fprintf(&b, "CREATE USER backup@'%%' IDENTIFIED BY '%s';\n", l.password("mariadb_backup_database_password"))
	fmt.Fprintf(&b, "GRANT RELOAD, PROCESS, BINLOG MONITOR, REPLICATION SLAVE, SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO backup@'%%';\n")
	for _, s := range services {
		pw := l.password(s.user + "_database_password")
		fmt.Fprintf(&b, "CREATE USER %s@'%%' IDENTIFIED BY '%s';\n", s.user, pw)
		for _, schema := range s.schemas {
			fmt.Fprintf(&b, "GRANT ALL ON `%s`.* TO %s@'%%';\n", schema, s.user)
		}
	}
	root := l.rootPassword.Reveal()
	fmt.Fprintf(&b, "CREATE USER root@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO root@'%%' WITH GRANT OPTION;\n", root)
	fmt.Fprintf(&b, "ALTER USER root@localhost IDENTIFIED BY '%s';\n", root)
	return b.String()
}

// password returns a password of the deployment's passwords.yml, "" if it is not there.
func (l *Lab) password(key string) string {
	b, err := os.ReadFile(l.path("deploy/kolla/passwords.yml"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && k == key {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

package lab

import (
	"context"
	"fmt"
	"io"
	"strings"

	"holdfast/internal/lab/schema"
)

type runSQL func(ctx context.Context, sql io.Reader) error

// loadData loads what shard s holds. Further shards hold the OpenStack schemas too: which service lives where is a
// matter of the deployment.
func (l *Lab) loadData(ctx context.Context, s Shard, run runSQL) error {
	if _, err := schema.Load(ctx, run, l.rows(s.ID)); err != nil {
		return fmt.Errorf("load schemas: %w", err)
	}
	if l.Options.BulkMiB > 0 && s.ID == 0 {
		return loadBulk(ctx, run, l.Options.BulkMiB)
	}
	return nil
}

// accounts makes the database's accounts: root, backup with the least it needs, and one per service.
func (l *Lab) accounts() string {
	var b strings.Builder
	fmt.Fprintf(&b, "DELETE FROM mysql.global_priv WHERE User='' OR User='root' AND Host<>'localhost';\nFLUSH PRIVILEGES;\n")
	fmt.Fprintf(&b, "CREATE USER backup@'%%' IDENTIFIED BY '%s';\n", l.Kolla.Passwords["mariadb_backup_database_password"])
	fmt.Fprintf(&b, "GRANT RELOAD, PROCESS, BINLOG MONITOR, REPLICATION SLAVE, SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO backup@'%%';\n")
	for _, s := range services {
		pw := l.Kolla.Passwords[s.user+"_database_password"]
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

// services are the OpenStack services with an account of their own, each with the schemas it owns.
var services = []struct {
	user    string
	schemas []string
}{
	{"keystone", []string{"keystone"}},
	{"glance", []string{"glance"}},
	{"cinder", []string{"cinder"}},
	{"nova", []string{"nova", "nova_api", "nova_cell0"}},
	{"neutron", []string{"neutron"}},
}

package mariadb

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/host"
)

// configured runs commands here with an option file of the site.
type configured struct {
	host.Local
	dir string
}

func (c configured) Start(ctx context.Context, cmd host.Cmd) (*host.Process, error) {
	cmd.Env = append(cmd.Env, "MYSQL_HOME="+c.dir, "MARIADB_HOME="+c.dir)
	return c.Local.Start(ctx, cmd)
}

// TestOptionFileLeavesOut: the site's option files have a say, but not in what a copy holds.
func TestOptionFileLeavesOut(t *testing.T) {
	for options, wrong := range map[string]string{
		"quick\nmax-allowed-packet=64M":  "",
		"ignore-table=nova.instances":    "--ignore-table",
		"ignore_table_data=nova.actions": "--ignore-table-data",
		"where=deleted=0":                "--where",
		"no-data":                        "--no-data",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "my.cnf"), []byte("[mariadb-dump]\n"+options+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		d := &logical{session: &session{node: Node{Name: "ctl1", Host: configured{dir: dir}}, tools: tools{dump: "mariadb-dump"}}}
		err := d.plain(t.Context())
		if wrong == "" && err != nil || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%q: %v", options, err)
		}
	}
}

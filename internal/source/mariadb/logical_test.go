package mariadb

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/point"
	"holdfast/internal/stream/sqldump"
)

// tableFacts are the rows and hashes of a captured dump, by table, without those that every connection changes.
func tableFacts(t testing.TB, dir string) map[string]sqldump.Table {
	t.Helper()
	var sum sqldump.Summary
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile(filepath.Join(dir, sqldump.OrderPath))), &sum); err != nil {
		t.Fatal(err)
	}
	tables := map[string]sqldump.Table{}
	for _, table := range sum.Tables {
		if table.DB != "mysql" {
			tables[table.DB+"."+table.Name] = table
		}
	}
	return tables
}

func TestLogicalCopyHoldsEveryTableAndTheAccounts(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	dir, out := captured(t, s, "shard0/logical")
	t.Logf("identity: %v\nproof: %v\nnotes: %v", out.Identity, out.Proof, out.Notes)
	if out.State != point.Good || len(out.Notes) > 0 {
		t.Errorf("state %s %s, notes %q", out.State, out.Reason, out.Notes)
	}
	again, _ := captured(t, s, "shard0/logical")
	first := tableFacts(t, dir)
	if diff := cmp.Diff(first, tableFacts(t, again)); diff != "" {
		t.Errorf("two dumps of the same rows differ:\n%s", diff)
	}
	if got := first["nova.instances"].Rows; got == 0 {
		t.Errorf("nova.instances has no rows")
	}
	grants := string(must[[]byte](t)(os.ReadFile(filepath.Join(dir, sqldump.GrantsPath))))
	if !strings.Contains(grants, "CREATE USER `nova`@`%`") {
		t.Errorf("the accounts lack the user of nova:\n%s", grants)
	}
}

func TestLogicalCopyLoadsBackEqual(t *testing.T) {
	l := cluster(t)
	s := New(Options{Shards: []Shard{shardOf(t, l)}})
	task := planned(t, s, "shard0/logical")
	want := checksums(t, asker(t, l, task.Host))
	dir, _ := captured(t, s, "shard0/logical")
	ask, load := fresh(t)
	load(services(t, dir))
	if diff := cmp.Diff(want, checksums(t, ask)); diff != "" {
		t.Errorf("tables differ (-source +loaded):\n%s", diff)
	}
}

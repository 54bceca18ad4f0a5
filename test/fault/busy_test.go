package fault

import (
	"fmt"
	"syscall"
	"testing"

	"holdfast/internal/point"
)

// TestBusy starts a second run of a source while the first one copies. Whoever only reads, and other sources, go on.
func TestBusy(t *testing.T) {
	s := shared(t)
	before := s.Points()
	run := s.Start("backup", "mariadb")
	victim := run.Freeze(s.lab, "shard0/physical", 1<<20, copying)

	said(t, s.Try("backup", "mariadb"), 6, "mariadb", s.site.Vault, fmt.Sprintf("process %d", run.PID()))
	said(t, s.Try("backup"), 6, "mariadb")
	s.nothingNew(before)
	if got := s.Show("latest"); got.State != point.Complete {
		t.Errorf("latest is %s", got.State)
	}
	s.Run("restore", "files", before[0], "--to", t.TempDir()+"/files", "--yes")
	if p := s.Backup("kolla"); p.State != point.Complete {
		t.Errorf("the other source's point is %s", p.State)
	}

	victim.Signal(t, syscall.SIGCONT)
	if r := run.Wait(); r.Code != 0 {
		t.Errorf("the first run ended with %d: %s", r.Code, r.Stderr)
	}
	if got := s.Points(); len(got) != len(before)+2 {
		t.Errorf("points were %v and are %v, want two more", before, got)
	}
	s.kept(before)
}

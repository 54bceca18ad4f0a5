package verify

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLastFindingCounts(t *testing.T) {
	r, at := Record{Dir: filepath.Join(t.TempDir(), "state")}, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if all, err := r.Findings(); err != nil || all.Good("p") != nil {
		t.Errorf("before any: %v, %v", all, err)
	}
	for _, c := range []struct {
		damaged int
		whole   bool
	}{{0, true}, {2, false}, {0, true}} {
		if err := r.Add("p", Finding{At: at, Percent: 5, Damaged: c.damaged}); err != nil {
			t.Fatal(err)
		}
		all, err := r.Findings()
		if err != nil || (all.Good("p") != nil) != c.whole || all["p"].Damaged != c.damaged {
			t.Errorf("%d damaged: %+v, %v", c.damaged, all, err)
		}
	}
}

func TestUnreadableRecordIsBegunAnew(t *testing.T) {
	r := Record{Dir: t.TempDir()}
	if err := os.WriteFile(r.file(), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Findings(); err == nil || all.Good("p") != nil {
		t.Errorf("a damaged record proves nothing: %v, %v", all, err)
	}
	if err := r.Add("p", Finding{At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Findings(); err != nil || all.Good("p") == nil {
		t.Errorf("afterwards: %v, %v", all, err)
	}
}

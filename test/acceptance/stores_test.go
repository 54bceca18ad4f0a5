package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// tiered makes a site whose configuration has these tiers after the first.
func tiered(t *testing.T, l *lab.Lab, tiers ...string) *journey.Operator {
	t.Helper()
	return journey.At(t, journey.NewSite(t, l, func(config string) string {
		return strings.Replace(config, "kolla:\n", strings.Join(tiers, "")+"kolla:\n", 1)
	}))
}

// TestStores takes a point through a bucket and a directory behind sftp, loses the first vault, and gets everything back.
func TestStores(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	if err := l.MakeBucket(t.Context(), "points", false); err != nil {
		t.Fatal(err)
	}
	op := tiered(t, l,
		l.S3Tier("s3", "points/cloud", "", "limit: [{from: \"00:00\", to: \"24:00\", rate: 100MiB}]"),
		l.SFTPTier("offsite", l.Options.Dir+"/offsite"))
	op.Run("init", "--yes")
	p := op.Backup("ceph")
	op.Run("replicate")
	q := op.Backup("ceph")
	op.Run("replicate")
	for _, tier := range []string{"s3", "offsite"} {
		if out := op.Run("points", "--tier", tier); !strings.Contains(out, p.ID) || !strings.Contains(out, q.ID) {
			t.Errorf("tier %s lists\n%s", tier, out)
		}
		op.Run("verify", "latest", "--full", "--tier", tier)
		dir := filepath.Join(t.TempDir(), tier)
		op.Run("restore", "ceph", p.ID, "--to", dir, "--yes", "--tier", tier)
		if _, err := os.Stat(filepath.Join(dir, "plan.md")); err != nil && len(entries(t, dir)) == 0 {
			t.Errorf("nothing was restored from %s", tier)
		}
	}
	if out := op.Run("replicate"); strings.Count(out, "2 held before") != 2 {
		t.Errorf("when nothing is new:\n%s", out)
	}
	op.Run("init", "--yes") // changes nothing
	if out := op.Try("doctor").Stdout; !strings.Contains(out, "tier s3") || strings.Contains(out, "cannot be reached") {
		t.Errorf("doctor says\n%s", out)
	}
	emptyFirst(t, op)
	op.Run("init", "--yes")
	op.Run("replicate", "local", "--from", "s3")
	if got := op.Show(q.ID); got.State != point.Complete {
		t.Errorf("the point came back as %s", got.State)
	}
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// emptyFirst loses the vault of the first tier.
func emptyFirst(t *testing.T, op *journey.Operator) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(filepath.Dir(op.Config), "vault")); err != nil {
		t.Fatal(err)
	}
}

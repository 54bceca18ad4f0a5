package fault

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/lab/labtest"
	"holdfast/test/journey"
)

// TestSFTPOnABadDay: a vault behind sftp whose directory is not mounted is not made anew, and of a connection that is refused ssh's
// own words are told.
func TestSFTPOnABadDay(t *testing.T) {
	l := labtest.Shared(t, labtest.Hosts)
	dir := filepath.Join(l.Options.Dir, "mount", "offsite")
	edit := func(change func(string) string) func(string) string {
		return func(config string) string {
			return change(strings.Replace(config, "kolla:\n", l.SFTPTier("offsite", dir)+"kolla:\n", 1))
		}
	}
	op := journey.At(t, journey.NewSite(t, l, edit(func(config string) string { return config })))
	op.Run("init", "--yes")
	op.Run("replicate")
	must(t, os.Rename(dir, dir+".away"))
	op.Fails(5, []string{"mount what it lies on"}, "replicate")
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is there again: %v", err)
	}
	must(t, os.Rename(dir+".away", dir))
	op.Run("replicate")

	config, err := os.ReadFile(op.Config)
	must(t, err)
	text := strings.Replace(string(config), "sftp://"+l.Hosts[0].User+"@", "sftp://nosuchuser@", 1)
	must(t, os.WriteFile(op.Config, []byte(text), 0o600))
	op.Fails(5, []string{"ssh says: ", "Permission denied", "try: sftp"}, "points", "--tier", "offsite")
}

package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"holdfast/internal/host"
)

// TestShells runs the supervisor in every shell that may be a far side's sh.
func TestShells(t *testing.T) {
	for name, shell := range map[string]string{"dash": "dash", "bash": "bash", "busybox": "busybox"} {
		t.Run(name, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			must(t, err)
			dir := t.TempDir()
			must(t, os.Symlink(path, filepath.Join(dir, "sh")))
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			conform(t, func(*testing.T) host.Host { return host.Local{} })
			t.Run("remote", func(t *testing.T) { conformFed(t, host.Remote{}) })
		})
	}
}

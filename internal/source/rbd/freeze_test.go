package rbd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestThawAfterRestart: a server that libvirtd froze before it went away is thawed by the one that comes back. The virsh is a stand-in
// that says so.
func TestThawAfterRestart(t *testing.T) {
	dir := t.TempDir()
	virsh := filepath.Join(dir, "stand-in-virsh")
	const script = `#!/bin/sh
cd "$(dirname "$0")"
case $1 in
domfsfreeze) touch frozen; date +%s >gone; echo "error: Disconnected from qemu:///system" >&2; exit 1 ;;
domfsthaw) [ $(($(date +%s) - $(cat gone))) -ge 6 ] || exit 1; rm frozen ;;
esac
`
	if err := os.WriteFile(virsh, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out, _ := exec.CommandContext(t.Context(), "sh", "-c", guard, "guard", "server", "3", virsh).Output()
	if _, err := os.Stat(filepath.Join(dir, "frozen")); err == nil || !strings.HasSuffix(string(out), "thawed\n") {
		t.Errorf("after %s it says %q, and the server stands still", time.Since(began), out)
	}
}

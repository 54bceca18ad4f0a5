// Package deb holds the Debian package to what an operator may expect of it: the same bytes from the same source, and an
// installation, an upgrade, a removal and a purge that break nothing.
package deb

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// root is a file system of the test's own, laid over this machine's: dpkg finds its packages there, and what it writes
// vanishes with the test.
type root struct {
	enter []string // runs what follows in it
	files string   // where this machine sees it
}

// overlay lays a root over this machine's, at "$1/root".
const overlay = `set -e
mount --make-rprivate /
mount -t tmpfs holdfast-deb "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay holdfast-deb -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount -t tmpfs -o mode=1777 holdfast-deb "$1/root/tmp"
mount -t tmpfs -o mode=755 holdfast-deb "$1/root/run"
rm -rf "$1/root/var/lib/holdfast" "$1/root/etc/holdfast" "$1/root/var/backups/holdfast"
`

const layOver = overlay + `
mount --rbind /dev "$1/root/dev"
mkdir "$1/root/run/lock"
cp "$2" "$1/root/usr/bin/systemctl"
echo ready
cat >/dev/null`

// standIn is what the root has for systemctl, as no systemd runs in it: it writes down what it is asked for.
const standIn = `#!/bin/sh
echo "$*" >>/run/asked
case "$*" in *is-active*) [ -e /run/active ] ;; esac
`

func newRoot(t *testing.T) *root {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "systemctl")
	if err := os.WriteFile(script, []byte(standIn), 0o755); err != nil {
		t.Fatal(err)
	}
	over := filepath.Join(dir, "over")
	if err := os.Mkdir(over, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", layOver, "sh", over, script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	ready := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(stdout, ready); err != nil {
		t.Fatalf("lay a root over this machine's: %v: %s", err, stderr.String())
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	return &root{
		enter: []string{"nsenter", "--target", pid, "--mount", "--", "chroot", over + "/root"},
		files: filepath.Join("/proc", pid, "root", over, "root"),
	}
}

// try runs a script in the root and returns its output and its exit code.
func (r *root) try(t *testing.T, script string) (string, int) {
	t.Helper()
	cmd := exec.Command(r.enter[0], append(slices.Clone(r.enter[1:]), "sh", "-c", script)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// run is try for a script that must end with 0.
func (r *root) run(t *testing.T, script string) string {
	t.Helper()
	out, code := r.try(t, script)
	if code != 0 {
		t.Fatalf("%s\nended with %d: %s", script, code, out)
	}
	return strings.TrimSpace(out)
}

// dpkg without what takes long and does not concern the package: waiting for the disk, and the index of all man pages.
const dpkg = "dpkg --force-unsafe-io --no-triggers "

// install puts a package into the root and installs it.
func (r *root) install(t *testing.T, deb string) string {
	t.Helper()
	r.copy(t, deb, "/tmp/holdfast.deb")
	return r.run(t, dpkg+"-i /tmp/holdfast.deb")
}

// asked returns what the stand-in for systemctl was asked for since the last time.
func (r *root) asked(t *testing.T) string {
	t.Helper()
	return r.run(t, "cat /run/asked 2>/dev/null; rm -f /run/asked")
}

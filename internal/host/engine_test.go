package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// engine is one of the test's own with one image, made of this machine's files.
type engine struct {
	dir     string
	command []string // that runs it
}

// engines starts either.
var engines = map[string]func(testing.TB) *engine{"docker": startDocker, "podman": startPodman}

const image = "localhost/holdfast-test:1"

var tools = []string{
	"sh", "bash", "setsid", "timeout", "dd", "rm", "cat", "printf", "ls", "grep", "stat", "find", "seq", "head", "sha256sum", "sleep", "env",
	"wc", "id", "tr", "true", "echo", "kill", "tail", "pwd",
}

func startDocker(t testing.TB) *engine {
	dir, err := os.MkdirTemp("", "hf") // short: the path of a socket is at most 107 bytes
	must(t, err)
	socket := "unix://" + dir + "/s"
	d := &engine{dir, []string{"docker", "--host", socket}}
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	cmd := exec.Command("dockerd", "--host="+socket, "--data-root="+dir+"/data", "--exec-root="+dir+"/run", "--pidfile="+dir+"/pid",
		"--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		log.Close()
		_ = syscall.Unmount(dir+"/run/netns/default", 0)
		_ = syscall.Unmount(dir+"/data", syscall.MNT_DETACH) // mounted on itself where the machine's root is private
		must(t, os.RemoveAll(dir))
	})
	for deadline := time.Now().Add(20 * time.Second); exec.Command("docker", "--host", socket, "version").Run() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			b, _ := os.ReadFile(dir + "/log")
			t.Fatalf("dockerd did not come up: %s", b)
		}
	}
	d.run(t, "import", "-c", "ENV INSIDE=yes", rootfs(t), image)
	return d
}

// podmanConf gives locks a place of their own, and containers no higher limits than the machine may give.
const podmanConf = `[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
`

func startPodman(t testing.TB) *engine {
	dir, err := os.MkdirTemp("", "hf")
	must(t, err)
	d := &engine{dir, []string{filepath.Join(dir, "podman")}}
	must(t, os.WriteFile(dir+"/conf", []byte(podmanConf), 0o644))
	script := "#!/bin/sh\nCONTAINERS_CONF=" + dir + "/conf exec podman --root " + dir + "/data --runroot " + dir + "/run --tmpdir " + dir +
		"/tmp --storage-driver overlay --volumepath " + dir + "/volumes \"$@\"\n"
	must(t, os.WriteFile(d.command[0], []byte(script), 0o755))
	t.Cleanup(func() {
		d.run(t, "rm", "--all", "--force")
		awaitNone(t, dir) // what cleans up after a container would make the directory anew
		_ = syscall.Unmount(dir+"/data/overlay", syscall.MNT_DETACH)
		must(t, os.RemoveAll(dir))
	})
	d.run(t, "import", "-c", "ENV INSIDE=yes", rootfs(t), image)
	return d
}

// awaitNone waits until no process has text in its command line.
func awaitNone(t testing.TB, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		lines, err := filepath.Glob("/proc/[1-9]*/cmdline")
		must(t, err)
		found := slices.IndexFunc(lines, func(file string) bool {
			line, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(line), text)
		})
		if found < 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still runs with %s", lines[found], text)
		}
	}
}

// run runs a command of the engine.
func (d *engine) run(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, append(slices.Clone(d.command), args...)...)
}

// up starts a container for the test.
func (d *engine) up(t testing.TB, name string, args ...string) {
	args = append([]string{"run", "-d", "--name", name, "--network=none"}, args...)
	d.run(t, append(args, image, "sh", "-c", "trap exit TERM; while :; do sleep 0.2; done")...)
	t.Cleanup(func() { d.run(t, "rm", "-f", name) })
}

// rootfs is a tar of the tools and the libraries they need.

func rootfs(t testing.TB) string {
	files := map[string]bool{"/etc/passwd": true, "/etc/group": true}
	for _, tool := range tools {
		path := run(t, "sh", "-c", "PATH=/usr/bin:/bin; export PATH; env which "+tool)
		files[path] = true
		for _, word := range strings.Fields(run(t, "ldd", path)) {
			if strings.HasPrefix(word, "/") {
				files[word] = true
			}
		}
	}
	files["/bin/sh"] = true
	tar := filepath.Join(t.TempDir(), "rootfs.tar")
	args := []string{"tar", "-C", "/", "--dereference", "--hard-dereference", "-cf", tar}
	for f := range files {
		args = append(args, strings.TrimPrefix(f, "/"))
	}
	run(t, args...)
	return tar
}

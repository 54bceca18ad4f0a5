package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dockerd is an engine of the test's own with one image, made of this machine's files.
type dockerd struct{ dir, socket string }

const image = "localhost/holdfast-test:1"

var tools = []string{
	"sh", "bash", "setsid", "timeout", "dd", "rm", "cat", "printf", "ls", "grep", "stat", "find", "seq", "head", "sha256sum", "sleep", "env",
	"wc", "id", "tr", "true", "echo", "kill", "tail", "pwd",
}

func startDocker(t testing.TB) *dockerd {
	dir, err := os.MkdirTemp("", "hf") // short: the path of a socket is at most 107 bytes
	must(t, err)
	d := &dockerd{dir: dir, socket: "unix://" + dir + "/s"}
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	cmd := exec.Command("dockerd", "--host="+d.socket, "--data-root="+dir+"/data", "--exec-root="+dir+"/run", "--pidfile="+dir+"/pid",
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
	for deadline := time.Now().Add(20 * time.Second); exec.Command("docker", "--host", d.socket, "version").Run() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			b, _ := os.ReadFile(dir + "/log")
			t.Fatalf("dockerd did not come up: %s", b)
		}
	}
	d.docker(t, "import", "-c", "ENV INSIDE=yes", rootfs(t), image)
	return d
}

func (d *dockerd) docker(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, append([]string{"docker", "--host", d.socket}, args...)...)
}

// up starts a container for the test.
func (d *dockerd) up(t testing.TB, name string, args ...string) {
	args = append([]string{"run", "-d", "--name", name, "--network=none"}, args...)
	d.docker(t, append(args, image, "sh", "-c", "trap exit TERM; while :; do sleep 0.2; done")...)
	t.Cleanup(func() { d.docker(t, "rm", "-f", name) })
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

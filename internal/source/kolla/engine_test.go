package kolla

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/stream/treetest"
)

func do(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// startEngine starts a docker engine of the test's own, which every docker command of the test talks to, with an image
// that borrows this machine's programs.
func startEngine(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf") // short: the path of a socket is at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	socket := "unix://" + dir + "/s"
	cmd := exec.Command("dockerd", "--host="+socket, "--data-root="+dir+"/data", "--exec-root="+dir+"/run", "--pidfile="+dir+"/pid",
		"--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = syscall.Unmount(dir+"/run/netns/default", 0)
		_ = syscall.Unmount(dir+"/data", syscall.MNT_DETACH) // mounted on itself where the machine's root is private
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("DOCKER_HOST", socket)
	for end := time.Now().Add(30 * time.Second); exec.Command("docker", "version").Run() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("dockerd did not come up")
		}
	}
	root := t.TempDir()
	for _, sub := range []string{"usr", "tmp", "proc", "dev"} {
		if err := os.Mkdir(filepath.Join(root, sub), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+link, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	do(t, "sh", "-c", `tar -C "$1" -c . | docker import - localhost/tools:1`, "import", root)
}

// runContainer starts a container with one program of the test's in its PATH.
func runContainer(t *testing.T, name, program, script string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	do(t, "docker", "run", "-d", "--name", name, "--network=none", "--init=false", "-v", "/usr:/usr:ro", "-v", bin+":/usr/local/bin:ro",
		"localhost/tools:1", "/usr/bin/sh", "-c", "trap exit TERM; while :; do sleep 0.2; done")
	t.Cleanup(func() { do(t, "docker", "rm", "-f", name) })
}

// saved makes a program that prints content, once it got its arguments.
func saved(t *testing.T, content []byte) string {
	t.Helper()
	return "[ $# -gt 0 ] || exit 2\ncat <<'END' | head -c -1\n" + string(content) + "\nEND\n"
}

func TestServersGiveTheirStateThroughTheirContainers(t *testing.T) {
	startEngine(t)
	nb := ovsdb(`{"name":"OVN_Northbound"}`, `{"_date":1}`)
	runContainer(t, "ovn_nb_db", "ovsdb-client", saved(t, nb))
	runContainer(t, "ovn_sb_db", "ovsdb-client", saved(t, nb[:len(nb)-9]))
	runContainer(t, "etcd", "etcdctl", `[ "$1 $2" = "snapshot save" ] && head -c 1024 /dev/zero >"$3" && printf '`+octal(etcdSum)+`' >>"$3"`)
	runContainer(t, "rabbitmq", "rabbitmqctl", `echo '{"users":'; exit 70`)

	dir := t.TempDir()
	if err := os.WriteFile(dir+"/galera.cnf", []byte("[mysqld]\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	inv, err := inventory.Parse([]byte(`{"_meta": {"hostvars": {"aio": {"ansible_connection": "local", "node_config_directory": "` + dir + `"}}},
		"control": {"hosts": ["aio"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := deployOnly(t, host.Local{}, map[string]string{})
	s.o.Inventory = inv
	tree := treetest.NewMemory()
	out, err := s.Capture(context.Background(), task("aio", "aio", "", true), source.Sink{Tree: tree})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ovn-sb.db of container ovn_sb_db: cut inside OVSDB record 1", "rabbitmq-definitions.json of container rabbitmq"} {
		if out.State != point.ComponentPartial || !strings.Contains(out.Reason, want) {
			t.Errorf("%s: %q does not say %q", out.State, out.Reason, want)
		}
	}
	got := tree.Entries()
	if string(got[".holdfast/ovn-nb.db"].Data) != string(nb) || len(got[".holdfast/etcd.snapshot"].Data) != 1024+32 {
		t.Errorf("exports: %v, %v", got[".holdfast/ovn-nb.db"], got[".holdfast/etcd.snapshot"])
	}
	if _, kept := got[".holdfast/ovn-sb.db"]; kept || tree.Open() > 0 {
		t.Error("an export that was cut was kept")
	}
	identity, err := json.Marshal(out.Identity["containers"])
	if err != nil || strings.Count(string(identity), `"digest":"sha256:`) != 4 {
		t.Errorf("containers: %s, %v", identity, err)
	}
}

// etcdSum is what etcd puts behind 1024 zeros.
var etcdSum = sha256.Sum256(make([]byte, 1024))

// octal writes bytes for printf.
func octal(sum [sha256.Size]byte) string {
	var b strings.Builder
	for _, c := range sum {
		fmt.Fprintf(&b, `\%03o`, c)
	}
	return b.String()
}

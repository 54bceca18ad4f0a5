package lab_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
)

func TestContainers(t *testing.T) {
	began := time.Now()
	l := labtest.New(t, func(o *lab.Options) { o.Containers = true })
	t.Logf("up in %.1f s", time.Since(began).Seconds())

	t.Run("one cluster of three", func(t *testing.T) {
		for _, n := range l.Nodes() {
			if got := sql(t, l, n.Host, "SHOW STATUS LIKE 'wsrep_cluster_size'"); got != "wsrep_cluster_size\t3" {
				t.Errorf("%s: %s", n.Host, got)
			}
			if got := sql(t, l, n.Host, "SELECT COUNT(*) FROM nova.instances"); got == "0" {
				t.Errorf("%s holds no servers", n.Host)
			}
		}
	})
	t.Run("laid out as Kolla lays it out", func(t *testing.T) { checkLayout(t, l) })
	t.Run("an engine sees its own container alone", func(t *testing.T) { checkIsolation(t, l) })
	t.Run("backs up inside", func(t *testing.T) { checkBackupInside(t, l) })
	t.Run("stops, starts, and takes a state transfer", func(t *testing.T) { checkLifecycle(t, l) })
	t.Run("is killed", func(t *testing.T) {
		if err := l.Kill(t.Context(), "ctl3"); err != nil {
			t.Fatal(err)
		}
		if err := l.Start(t.Context(), "ctl3"); err != nil {
			t.Error(err)
		}
	})
	t.Run("leaves nothing", func(t *testing.T) { checkGone(t, l) })
}

func checkLayout(t *testing.T, l *lab.Lab) {
	for command, want := range map[string]string{
		"docker inspect -f '{{.Config.User}} {{.HostConfig.NetworkMode}} {{index .Config.Labels \"kolla_version\"}}' mariadb": "mysql host 2025.1",
		"docker exec mariadb sh -c 'id -u; echo $KOLLA_SERVICE_NAME; stat -c %u /var/lib/mysql/ibdata1'":                      "42434\nmariadb\n42434",
		"docker volume ls -q | grep -E '^(mariadb|mariadb_backup|kolla_logs)$'":                                               "kolla_logs\nmariadb\nmariadb_backup",
		"cmp /etc/kolla/mariadb/galera.cnf <(docker exec mariadb cat /etc/mysql/my.cnf) && echo same":                         "same",
		"docker logs mariadb 2>/dev/null | grep -o 'stand-in for kolla_start' | head -1":                                      "stand-in for kolla_start",
		"ls /var/lib/mysql/data /etc/mysql/my.cnf 2>/dev/null":                                                                "/var/lib/mysql/data:",
	} {
		if got := ssh(t, l, "ctl1", command+"; true"); got != want {
			t.Errorf("%s\n got %q\nwant %q", command, got, want)
		}
	}
	if st, err := os.Stat(filepath.Join(l.Datadir("ctl1"), "grastate.dat")); err != nil || !st.Mode().IsRegular() {
		t.Errorf("no datadir in the volume: %v", err)
	}
}

func checkIsolation(t *testing.T, l *lab.Lab) {
	ids := map[string]string{}
	for _, n := range l.Nodes() {
		id := ssh(t, l, n.Host, "docker ps -q --no-trunc")
		if other, ok := ids[id]; ok || len(id) != 64 {
			t.Errorf("%s has container %q, %s too", n.Host, id, other)
		}
		ids[id] = n.Host
	}
}

// checkBackupInside streams a physical backup out of a container and looks at both of its ends.
func checkBackupInside(t *testing.T, l *lab.Lab) {
	const backup = `printf '[client]\nuser=root\npassword=%s\nsocket=/run/mysqld/mysqld.sock\n' "$(cat)" >/dev/shm/login &&
mariadb-backup --defaults-extra-file=/dev/shm/login --backup --stream=mbstream 2>/tmp/log | mbstream -x -C /backup
rm -f /dev/shm/login; tail -1 /tmp/log; stat -c %u /backup/ibdata1; rm -rf /backup/*`
	cmd, err := l.Command(t.Context(), "ctl2", "docker", "--host", "unix:///run/docker.sock", "exec", "-i", "mariadb", "sh", "-c", backup)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = strings.NewReader(l.RootPassword().Reveal())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "completed OK!\n42434") {
		t.Errorf("backup: %v\n%s", err, out)
	}
}

// checkLifecycle empties a node's volume and has it filled by the others.
func checkLifecycle(t *testing.T, l *lab.Lab) {
	const query = "CHECKSUM TABLE nova.instances, cinder.volumes, keystone.project"
	want := sql(t, l, "ctl1", query)
	if err := l.Stop(t.Context(), "ctl2"); err != nil {
		t.Fatal(err)
	}
	if pid := l.PID("ctl2"); pid != 0 {
		t.Fatalf("mariadbd still runs: process %d", pid)
	}
	entries, err := os.ReadDir(l.Datadir("ctl2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(l.Datadir("ctl2"), e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Start(t.Context(), "ctl2"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, sql(t, l, "ctl2", query)); diff != "" {
		t.Errorf("after the state transfer (-ctl1 +ctl2):\n%s", diff)
	}
	for _, node := range []string{"ctl1", "ctl2", "ctl3"} {
		if err := l.Stop(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Bootstrap(t.Context(), "ctl3"); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"ctl1", "ctl2"} {
		if err := l.Start(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	if got := sql(t, l, "ctl1", "SHOW STATUS LIKE 'wsrep_cluster_size'"); got != "wsrep_cluster_size\t3" {
		t.Errorf("after the bootstrap: %s", got)
	}
}

// checkGone takes the lab down and looks for what it may have left behind.
func checkGone(t *testing.T, l *lab.Lab) {
	engines := processesNaming(t, fmt.Sprintf("holdfast-lab-%d-", l.PortBase))
	if len(engines) < 3 {
		t.Errorf("%d processes in containers before, want at least 3", len(engines))
	}
	if err := l.Down(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, l.Options.Dir, l.PortBase); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if left := processesNaming(t, fmt.Sprintf("holdfast-lab-%d-", l.PortBase)); len(left) > 0 {
		t.Errorf("processes left behind: %v", left)
	}
	if _, err := os.Stat(l.Options.Dir); err == nil {
		t.Error("the directory is left behind")
	}
	mounts, err := exec.Command("cat", "/proc/self/mountinfo").Output()
	if err != nil || strings.Contains(string(mounts), l.Options.Dir) {
		t.Errorf("mounts left behind, %v", err)
	}
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), fmt.Sprintf("holdfast-lab-%d-", l.PortBase)) {
			t.Errorf("control group left behind: %s", path)
		}
		return nil
	})
}

// processesNaming lists the processes in a control group whose path holds text.
func processesNaming(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[1-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if groups, err := os.ReadFile(f); err == nil && strings.Contains(string(groups), text) { // it may have ended
			found = append(found, filepath.Dir(f))
		}
	}
	return found
}

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/event"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/stream/treetest/mariadbtest"
	"holdfast/test/journey"
)

// asKolla makes a configuration drive the containers as Kolla's, without a deploy host's kolla-ansible.
func asKolla(config string) string {
	head, _, _ := strings.Cut(config, "  control:\n")
	return head + "  control:\n    kind: kolla\n"
}

// TestContainers loses a cluster that runs in containers and gets it back; then it prepares a copy with the image that
// the point holds, on a machine without mariadb-backup.
func TestContainers(t *testing.T) {
	l := labtest.New(t, func(o *lab.Options) { o.Containers = true })
	site := journey.NewSite(t, l, asKolla)
	op := journey.At(t, site)
	op.Init()
	sums := journey.Sums(t, l, "ctl1")
	first := op.Backup()
	p := op.Backup("mariadb")
	assertImage(t, first, p)

	galera := map[string]string{}
	for _, n := range l.Nodes() {
		file := filepath.Join(l.HostDir(n.Host), "etc/kolla/mariadb/galera.cnf")
		galera[file] = read(t, file) + fileOwner(t, file)
	}
	if err := l.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	op.Run("restore", "mariadb", p.ID, "--cluster", "--yes")
	assertCluster(t, l)
	for _, n := range l.Nodes() {
		journey.SameSums(t, sums, journey.Sums(t, l, n.Host))
		if got, want := fileOwner(t, l.Datadir(n.Host)), "42434:42434"; !strings.HasPrefix(got, want) {
			t.Errorf("%s: the datadir belongs to %s, want %s", n.Host, got, want)
		}
		if got := fileOwner(t, filepath.Join(l.Datadir(n.Host), "ibdata1")); !strings.HasPrefix(got, "42434:42434") {
			t.Errorf("%s: ibdata1 belongs to %s", n.Host, got)
		}
	}
	for file, want := range galera {
		if got := read(t, file) + fileOwner(t, file); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", file, got, want)
		}
		if left := names(t, filepath.Dir(file)); strings.Contains(strings.Join(left, " "), "holdfast") {
			t.Errorf("left beside galera.cnf: %q", left)
		}
	}
	t.Run("prepared with the image", func(t *testing.T) { preparedWithImage(t, l, site, p, sums) })
	t.Run("drilled with the image", func(t *testing.T) { drilledWithImage(t, l, site, p) })
}

// drilledWithImage drills on a machine without MariaDB's programs, through an engine of the lab, and looks that nothing stays in it: of an
// engine that has the image, of one that has it not and another one of its name, and after a kill.
func drilledWithImage(t *testing.T, l *lab.Lab, site journey.Site, p point.Point) {
	hide(t, "mariadb-backup", "mariabackup", "mariadb-install-db", "mysql_install_db")
	t.Setenv("DOCKER_HOST", "unix://"+engineSocket(t, l, "ctl3"))
	op := journey.At(t, site)
	has := func() string {
		return shell(t, l, "ctl3", "export DOCKER_HOST=unix:///run/docker.sock; docker ps -aq; docker images -a --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}'")
	}
	with := has()
	drilledBy(t, op, p, "which docker has here")
	if after := has(); after != with {
		t.Errorf("the engine has\n%s\nand had\n%s", after, with)
	}
	shell(t, l, "ctl3", `export DOCKER_HOST=unix:///run/docker.sock
name=$(docker images --format '{{.Repository}}:{{.Tag}}')
docker rmi -f $(docker images -q) >/dev/null
tar -cT /dev/null | docker import - "$name"`)
	without := has()
	drilledBy(t, op, p, "loaded from the point into docker")
	if after := has(); after != without {
		t.Errorf("the engine has\n%s\nand had\n%s", after, without)
	}
	for _, others := range []string{"", "somebody:one", "somebody:one somebody:two"} {
		killedWithImage(t, journey.At(t, site), p, func() bool { return has() != without })
		shell(t, l, "ctl3", `export DOCKER_HOST=unix:///run/docker.sock
for name in `+others+`; do docker tag $(docker images -q -f dangling=false | head -n 1) $name; done`)
		journey.At(t, site).Try("doctor")
		if left := names(t, filepath.Join(site.State, "drills")); len(left) > 0 {
			t.Errorf("left behind, where others name the image %q: %q", others, left)
		}
		if after := has(); strings.Count(after, "somebody:") != len(strings.Fields(others)) {
			t.Errorf("where others name the image %q the engine has\n%s", others, after)
		}
		shell(t, l, "ctl3", "export DOCKER_HOST=unix:///run/docker.sock; for name in "+others+"; do docker rmi $name >/dev/null || true; done")
		if after := has(); after != without {
			t.Errorf("after a kill the engine has\n%s\nand had\n%s", after, without)
		}
	}
}

// killedWithImage kills a drill that has loaded the image.
func killedWithImage(t *testing.T, op *journey.Operator, p point.Point, loaded func() bool) {
	t.Helper()
	run := op.Start("drill", "mariadb", p.ID)
	if _, ok := run.Await(func(e event.Event) bool { return e.Kind == event.Started && e.Component == "start an empty server" }); !ok {
		t.Fatalf("it did not get there: %+v", run.Wait())
	}
	children, ok := run.Kill()
	if !ok || !loaded() {
		t.Fatal("it ended, or had loaded nothing, before it was killed")
	}
	gone(t, children)
}

// drilledBy drills through an engine, from where it has the image.
func drilledBy(t *testing.T, op *journey.Operator, p point.Point, from string) {
	t.Helper()
	r := op.Try("drill", "mariadb", p.ID, "--json")
	d := drilled(t, r)
	if r.Code != 0 || d.State != point.Proven {
		t.Fatalf("it ended with %d: %+v\n%s", r.Code, d, r.Stderr)
	}
	if programs := part(t, d, logical).Programs; !strings.Contains(programs, from) {
		t.Errorf("it was drilled with %s, want %s", programs, from)
	}
	for _, component := range []string{logical, physical} {
		if found := part(t, d, component); !strings.Contains(found.Programs, "of the server's own image") || found.Same != found.Tables {
			t.Errorf("%s: %+v", component, found)
		}
	}
}

// fileOwner is owner and mode of a file.
func fileOwner(t *testing.T, file string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d %o", st.Uid, st.Gid, st.Mode)
}

// assertImage demands that the image is saved once and taken over by the next point.
func assertImage(t *testing.T, first, second point.Point) {
	t.Helper()
	for i, p := range []point.Point{first, second} {
		found := 0
		for _, c := range p.Components {
			if !strings.HasPrefix(c.Name, "image/") {
				continue
			}
			found++
			if want := []point.Mode{point.Full, point.Unchanged}[i]; c.State != point.Good || c.Mode != want || i == 1 && c.BytesRead != 0 {
				t.Errorf("image of point %d: %+v", i+1, c)
			}
		}
		if found != 1 {
			t.Errorf("point %d holds %d images", i+1, found)
		}
	}
}

// preparedWithImage restores a datadir through an engine of the lab, which has the image, and then has it no more.
func preparedWithImage(t *testing.T, l *lab.Lab, site journey.Site, p point.Point, sums map[string]string) {
	hide(t, "mariadb-backup", "mariabackup")
	t.Setenv("DOCKER_HOST", "unix://"+engineSocket(t, l, "ctl3"))
	op := journey.At(t, site)
	dir := filepath.Join(t.TempDir(), "d")
	if plan := op.Run("restore", "mariadb", p.ID, "--to", dir, "--dry-run"); !strings.Contains(plan, "which docker has here") {
		t.Errorf("the plan is\n%s", plan)
	}
	op.Run("restore", "mariadb", p.ID, "--to", dir, "--yes")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	shell(t, l, "ctl3", "export DOCKER_HOST=unix:///run/docker.sock; docker rm -f mariadb >/dev/null; docker rmi -f $(docker images -q) >/dev/null")
	if plan := op.Run("restore", "mariadb", p.ID, "--to", dir, "--dry-run"); !strings.Contains(plan, "loaded from the point into docker") {
		t.Errorf("the plan is\n%s", plan)
	}
	op.Run("restore", "mariadb", p.ID, "--to", dir, "--yes")
	if got := fileOwner(t, dir); !strings.HasPrefix(got, "42434:42434") {
		t.Errorf("the datadir belongs to %s", got)
	}
	journey.SameSums(t, sums, localSums(t, mariadbtest.StartOn(t, dir, "--skip-grant-tables"), sums))
}

// engineSocket is the path on this machine of the socket of a lab host's engine.
func engineSocket(t *testing.T, l *lab.Lab, host string) string {
	t.Helper()
	for _, p := range journey.OnHosts(l) {
		if p.Name() == "dockerd" && p.Host == host {
			return fmt.Sprintf("/proc/%d/root/run/docker.sock", p.PID)
		}
	}
	t.Fatalf("no engine runs on %s", host)
	return ""
}

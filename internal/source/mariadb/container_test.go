package mariadb

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/host"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/source"
)

// containers is a lab whose one server runs in a container, and its shard as the backup user sees it.
func containers(t testing.TB) (*lab.Lab, Shard) {
	t.Helper()
	l := labtest.New(t, labtest.Nodes(1), func(o *lab.Options) { o.Containers = true })
	s := Shard{User: "backup", Password: password(t, l, "mariadb_backup_database_password")}
	for _, n := range l.Shards[0].Nodes {
		machine := over(t, l, n.Host)
		s.Nodes = append(s.Nodes, Node{
			Name:   n.Host,
			Host:   host.Container{On: machine, Engine: "docker", Name: "mariadb"},
			Engine: &Engine{Host: machine, Command: "docker", Container: "mariadb"},
		})
	}
	return l, s
}

func TestContainerIsCopiedTogetherWithItsImage(t *testing.T) {
	l, shard := containers(t)
	held := map[string]string{}
	s := New(Options{Shards: []Shard{shard}, Held: func(_ context.Context, component string) string { return held[component] }})
	plan := must[source.Plan](t)(s.Plan(limit(t, 3*time.Minute)))
	if len(plan.Tasks) != 3 || !strings.HasPrefix(plan.Tasks[2].Name, imagePrefix) {
		t.Fatalf("plan %+v", plan)
	}
	want := checksums(t, asker(t, l, shard.Nodes[0].Name))
	dir, out := captured(t, s, "shard0/physical")
	if diff := cmp.Diff(want, checksums(t, private(t, prepared(t, dir)))); diff != "" {
		t.Errorf("tables differ (-source +copy):\n%s", diff)
	}
	if _, out := captured(t, s, "shard0/logical"); out.State != point.Good {
		t.Errorf("the dump is %s: %s", out.State, out.Reason)
	}
	name := plan.Tasks[2].Name
	if out.Identity["image_component"] != name {
		t.Errorf("the copy's image is %v, want %s", out.Identity["image_component"], name)
	}
	tree, saved := captured(t, s, name)
	t.Logf("identity %v, proof %v", saved.Identity, saved.Proof)
	if n := saved.Proof["layers_verified"]; saved.State != point.Good || n == 0 {
		t.Errorf("the image is %s, %v layers verified", saved.State, n)
	}
	if out, err := exec.Command("tar", "-tf", filepath.Join(tree, ImageFile)).CombinedOutput(); err != nil || !strings.Contains(string(out), "manifest.json") {
		t.Errorf("list the archive: %v\n%.300s", err, out)
	}
	held[name] = "p1"
	if again := planned(t, s, name); again.Mode != point.Unchanged || again.Parent != "p1" {
		t.Errorf("an image that point p1 holds is planned as %+v", again)
	}
}

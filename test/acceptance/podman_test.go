package acceptance

import (
	"strings"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// TestPodman backs a server up that runs in a podman container, by both ways into it, brings a table back, and then the
// lost server. That it is podman stands in Kolla's globals alone.
func TestPodman(t *testing.T) {
	l := labtest.New(t, labtest.Nodes(1), func(o *lab.Options) { o.Podman = true })
	site := journey.NewSite(t, l, asKolla)
	op := journey.At(t, site)
	op.Init()
	sums := journey.Sums(t, l, "ctl1")
	first := op.Backup()
	assertCopies(t, first)
	kolla := 0
	for _, c := range first.Components {
		if c.Source == "kolla" && c.State == point.Good {
			kolla++
		}
	}
	if first.State != point.Complete || kolla == 0 {
		t.Errorf("the point is %s with %d components of kolla", first.State, kolla)
	}

	exec := scene{lab: l, site: site}.elsewhere(t, func(config string) string {
		return strings.Replace(config, "  run: container\n", "  run: container\n  engine: podman\n  enter: exec\n", 1)
	})
	if text := read(t, exec.Config); !strings.Contains(text, "enter: exec") {
		t.Fatalf("the configuration is\n%s", text)
	}
	p := exec.Backup("mariadb")
	assertCopies(t, p)
	for _, way := range []*journey.Operator{op, exec} {
		way.Run("restore", "table", p.ID, "nova.instances", "--yes")
		sum := func(table string) string {
			_, text, _ := strings.Cut(query(t, l, "ctl1", "CHECKSUM TABLE "+table), "\t")
			return text
		}
		if want, got := sum("nova.instances"), sum("nova_restored.instances"); want != got || want == "NULL" {
			t.Errorf("nova.instances: checksum is %s, want %s", got, want)
		}
		query(t, l, "ctl1", "DROP DATABASE nova_restored")
	}

	if err := l.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	op.Run("restore", "mariadb", p.ID, "--cluster", "--yes")
	journey.SameSums(t, sums, journey.Sums(t, l, "ctl1"))
	if got, want := fileOwner(t, l.Datadir("ctl1")), "42434:42434"; !strings.HasPrefix(got, want) {
		t.Errorf("the datadir belongs to %s, want %s", got, want)
	}
}

// assertCopies demands a good physical and a good logical copy, and the image that the server runs.
func assertCopies(t *testing.T, p point.Point) {
	t.Helper()
	good := map[string]bool{}
	for _, c := range p.Components {
		kind, _, _ := strings.Cut(c.Name, "/")
		good[c.Name], good[kind] = c.State == point.Good, c.State == point.Good
	}
	for _, want := range []string{"shard0/physical", "shard0/logical", "image"} {
		if !good[want] {
			t.Errorf("no good %s in %+v", want, p.Components)
		}
	}
}

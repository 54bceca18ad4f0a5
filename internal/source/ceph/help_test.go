package ceph

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/host"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/stream/treetest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// recorder is this machine, and remembers what is run on it.
type recorder struct {
	host.Local
	before func(n int) // the n-th command, from 0

	mu   sync.Mutex
	args []string
}

func (r *recorder) Start(ctx context.Context, c host.Cmd) (*host.Process, error) {
	r.mu.Lock()
	n := len(r.args)
	r.args = append(r.args, strings.Join(append(c.Args, c.Env...), "\x00"))
	r.mu.Unlock()
	if r.before != nil {
		r.before(n)
	}
	return r.Local.Start(ctx, c)
}

// bench is a cluster with a source that captures it.
type bench struct {
	t    *testing.T
	lab  *lab.Lab
	on   *recorder
	id   string
	pool []string
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, lab: labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph), on: &recorder{}, id: "holdfast", pool: []string{"volumes", "images", "vms", "backups"}}
}

func (b *bench) source() *Source {
	c := cephcmd.Cluster{Name: "main", On: b.on, Conf: b.lab.Ceph.Conf, ID: b.id}
	return New(Options{Clusters: []Cluster{{Cluster: c, Pools: b.pool}}, Now: time.Now})
}

// admin runs a command line as the cluster's administrator, in a directory of its own unless one is given.
func (b *bench) admin(line string) string {
	b.t.Helper()
	return b.in("", line)
}

func (b *bench) in(dir, line string) string {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), "sh", "-ec", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CEPH_CONF="+b.lab.Ceph.Conf, "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("%s: %v\n%s%s", line, err, out, &stderr)
	}
	return string(out)
}

// after runs a command line when the test ends.
func (b *bench) after(line string) {
	b.t.Cleanup(func() {
		cmd := exec.Command("sh", "-c", line)
		cmd.Env = append(os.Environ(), "CEPH_CONF="+b.lab.Ceph.Conf)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.t.Errorf("%s: %v\n%s", line, err, out)
		}
	})
}

// captured is what a capture brought.
type captured struct {
	source.Outcome
	files map[string]treetest.Entry
}

func (b *bench) tryCapture() (captured, error) {
	b.t.Helper()
	s := b.source()
	plan, err := s.Plan(b.t.Context())
	if err != nil || len(plan.Tasks) != 1 || plan.Tasks[0].Path != "ceph/main" || plan.Tasks[0].Kind != point.Metadata {
		b.t.Fatalf("plan %+v, %v", plan, err)
	}
	tree := treetest.NewMemory()
	o, err := s.Capture(b.t.Context(), plan.Tasks[0], source.Sink{Tree: tree, Read: func(int64) {}, Note: func(string) {}})
	if tree.Open() != 0 {
		b.t.Errorf("%d files are still open", tree.Open())
	}
	return captured{o, tree.Entries()}, err
}

func (b *bench) capture(want point.ComponentState) captured {
	b.t.Helper()
	c, err := b.tryCapture()
	if err != nil {
		b.t.Fatal(err)
	}
	if c.State != want {
		b.t.Fatalf("the capture is %s: %s", c.State, c.Reason)
	}
	return c
}

func (c captured) contents(t *testing.T) map[string]Entry {
	t.Helper()
	list, err := ParseContents(c.files[ContentsName].Data)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]Entry{}
	for _, e := range list.Files {
		if _, twice := files[e.File]; twice {
			t.Errorf("%s is listed twice", e.File)
		}
		files[e.File] = e
	}
	return files
}

// into writes the files into a directory.
func (c captured) into(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, e := range c.files {
		if e.Meta.Mode.IsRegular() {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, e.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// furnish gives the cluster something of everything.
func (b *bench) furnish() {
	b.admin(`
printf 'text\n' | ceph config-key set deep -i -
printf '\000\001\377\n\n' | ceph config-key set deep/er -i -
printf '"<<< binary blob of length 3 >>>' | ceph config-key set "an odd key's name" -i -
ceph config set osd/class:hdd osd_max_backfills 7
ceph config set client.holdfast rbd_default_map_options 'a#b;c "d" \e'
ceph osd erasure-code-profile set wide k=2 m=1 crush-failure-domain=osd
ceph osd pool create coded 4 4 erasure wide
ceph osd pool set coded allow_ec_overwrites true
ceph osd pool set-quota coded max_objects 1000
ceph osd pool application enable coded other
rbd create images/base --size 8M
rbd snap create --no-progress images/base@snap
rbd snap protect images/base@snap
rbd clone images/base@snap volumes/child
rbd image-meta set volumes/child hw_disk_bus 'virtio é'
rbd snap create --no-progress volumes/child@kept
rbd create images/gone --size 8M
rbd snap create --no-progress images/gone@s
rbd clone --rbd-default-clone-format 2 images/gone@s volumes/orphan
rbd snap rm --no-progress images/gone@s
rbd create volumes/binned --size 8M
rbd trash mv volumes/binned
rbd namespace create volumes/tenant
rbd create volumes/tenant/inner --size 4M
rbd group create volumes/set
rbd create volumes/coded --size 8M --data-pool coded
rbd group image add volumes/set volumes/coded
rbd group snap create volumes/set@first`)
	b.after(`
for k in deep deep/er "an odd key's name"; do ceph config-key rm "$k"; done
ceph config rm osd/class:hdd osd_max_backfills
ceph config rm client.holdfast rbd_default_map_options
rbd group rm volumes/set; rbd rm --no-progress volumes/coded
rbd rm --no-progress volumes/tenant/inner; rbd namespace rm volumes/tenant
rbd trash purge --no-progress volumes
rbd snap purge --no-progress volumes/child; rbd rm --no-progress volumes/child
rbd rm --no-progress volumes/orphan; rbd rm --no-progress images/gone
rbd snap unprotect images/base@snap; rbd snap purge --no-progress images/base; rbd rm --no-progress images/base
ceph osd pool rm coded coded --yes-i-really-really-mean-it
ceph osd erasure-code-profile rm wide; ceph osd crush rule rm coded`)
}

// until repeats a command line until it succeeds: managers start again when a module is enabled.
func (b *bench) until(line string) {
	b.t.Helper()
	end := time.Now().Add(90 * time.Second)
	for {
		cmd := exec.Command("sh", "-c", line)
		cmd.Env = append(os.Environ(), "CEPH_CONF="+b.lab.Ceph.Conf)
		out, err := cmd.CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s: %v\n%s", line, err, out)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

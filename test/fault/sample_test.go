package fault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// poolWith is a pool whose configuration ends with more lines below rbd.
func poolWith(t *testing.T, edit func(config string) string) *pool {
	t.Helper()
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	p := &pool{journey.At(t, journey.NewSite(t, l, edit)), t, l}
	p.Init()
	t.Cleanup(p.empty)
	return p
}

func adding(lines string) func(string) string {
	return func(config string) string { return config + lines }
}

// secretly writes an object of an image behind the back of its object map.
func (p *pool) secretly(image string, object int) {
	p.t.Helper()
	var info struct {
		Prefix string `json:"block_name_prefix"`
	}
	if err := json.Unmarshal([]byte(p.rbd("info", "--format", "json", "volumes/"+image)), &info); err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(p.t.TempDir(), "object")
	if err := os.WriteFile(file, bytes.Repeat([]byte("behind its back "), 4<<20/16), 0o600); err != nil {
		p.t.Fatal(err)
	}
	name := fmt.Sprintf("%s.%016x", info.Prefix, object)
	if _, err := p.lab.Run(p.t.Context(), "sto1", "rados", "-c", p.lab.Ceph.Conf, "-p", "volumes", "put", name, file); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pool) volume(of point.Point) point.Component {
	p.t.Helper()
	c, ok := of.Component("rbd", "volumes/volume-a")
	if !ok || c.State != point.Good {
		p.t.Fatalf("volume-a: %s (%s)", c.State, c.Reason)
	}
	return c
}

// sampled is how many bytes beside what had changed were read and compared.
func sampled(c point.Component) float64 {
	n, _ := c.Proof["sampled_bytes"].(float64)
	return n
}

// TestSampleFindsALie: an increment looks beside what the object map tells. Where that holds something else than the earlier
// copy, the same run reads all of the image, and says so.
func TestSampleFindsALie(t *testing.T) {
	p := poolWith(t, adding("  sample: 64\n"))
	p.image("volume-a", 32)
	if c := p.volume(p.Backup("rbd")); c.Mode != point.Full || sampled(c) != 0 {
		t.Fatalf("first: %s, proof %v", c.Mode, c.Proof)
	}
	p.change("volume-a", 1)
	// One of the 64 pieces changed.
	if c := p.volume(p.Backup("rbd")); c.Mode != point.Incremental || sampled(c) != 63*512<<10 || len(c.Notes) > 0 {
		t.Fatalf("second: %s (%s), proof %v, notes %q", c.Mode, c.Reason, c.Proof, c.Notes)
	}
	p.secretly("volume-a", 5)
	p.change("volume-a", 2)
	r := p.Try("backup", "rbd", "--json")
	var third point.Point
	if err := json.Unmarshal([]byte(r.Stdout), &third); err != nil || r.Code != 0 {
		t.Fatalf("exit code %d, %v: %s", r.Code, err, r.Stderr)
	}
	c := p.volume(third)
	notes := strings.Join(c.Notes, "\n")
	for _, want := range []string{"a random sample differs from the copy in point", "4096 KiB differ", "rbd object-map rebuild volumes/volume-a"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q: %s", want, notes)
		}
	}
	if c.Mode != point.Full || c.Parent != "" || !strings.Contains(c.Reason, "a random sample differs") || !strings.Contains(r.Stderr, "a random sample differs") {
		t.Errorf("third: %s from %q (%s), stderr %s", c.Mode, c.Parent, c.Reason, r.Stderr)
	}
	if p.restored(third.ID, c.Name) != p.raw("volumes/volume-a") {
		t.Error("the third point gives volume-a back differently")
	}
	p.change("volume-a", 3)
	if c := p.volume(p.Backup("rbd")); c.Mode != point.Incremental || sampled(c) == 0 || len(c.Notes) > 0 {
		t.Errorf("fourth: %s (%s), proof %v, notes %q", c.Mode, c.Reason, c.Proof, c.Notes)
	}
}

// TestSampleOverSSH reads its sample where Ceph's commands run, of an image whose size is no multiple of anything.
func TestSampleOverSSH(t *testing.T) {
	p := poolWith(t, func(config string) string {
		return strings.Replace(config, "  - conf:", "  - run_on: sto1\n    conf:", 1)
	})
	p.image("volume-a", 12)
	p.rbd("resize", "--no-progress", "--size", "13000001B", "volumes/volume-a")
	p.Backup("rbd")
	p.change("volume-a", 1)
	c := p.volume(p.Backup("rbd"))
	if c.Mode != point.Incremental || sampled(c) == 0 || sampled(c) > 16*512<<10 || len(c.Notes) > 0 || c.Host != "sto1" {
		t.Errorf("on %s: %s (%s), proof %v, notes %q", c.Host, c.Mode, c.Reason, c.Proof, c.Notes)
	}
}

// TestWithoutBindings: where no sample can be read, the doctor warns, and every fourth run compares all of an image.
func TestWithoutBindings(t *testing.T) {
	p := poolWith(t, nil)
	p.image("volume-a", 8)
	if out := p.Run("doctor", "--json"); !strings.Contains(out, "python3-rbd on local reads 16 pieces") {
		t.Errorf("the doctor says %s", out)
	}
	p.Env = append(p.Env, "PYTHONPATH="+brokenBindings(t))
	if out := p.Try("doctor").Stdout; !strings.Contains(out, "every 4th run reads an image in full instead") || !strings.Contains(out, "install python3-rbd on local") {
		t.Errorf("the doctor says %s", out)
	}
	var modes []point.Mode
	for n := range int64(5) {
		p.change("volume-a", n)
		of := p.Backup("rbd")
		c := p.volume(of)
		modes = append(modes, c.Mode)
		if sampled(c) != 0 || n > 0 && !strings.Contains(fmt.Sprint(of.Notes), "every 4th run reads an image in full") {
			t.Errorf("run %d: proof %v, notes %q", n, c.Proof, of.Notes)
		}
	}
	if got, want := fmt.Sprint(modes), fmt.Sprint([]point.Mode{point.Full, point.Incremental, point.Incremental, point.Incremental, point.Full}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// brokenBindings is a directory in which Python looks first, and finds a module of Ceph's that cannot be loaded.
func brokenBindings(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rbd.py"), []byte("raise ImportError('no module named rbd')\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

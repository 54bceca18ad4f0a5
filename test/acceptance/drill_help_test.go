package acceptance

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/stream"
	"holdfast/internal/vault"
	"holdfast/test/journey"
)

// edits change files of a point, by their path below the source's tree. What an edit returns takes the place of the file, nil
// nothing at all.
type edits map[string]func([]byte) []byte

// forge seals a point in the site's vault that is like another, but for some files, and holds only the named components. Those of other
// shards are like shard 0's.
func (s scene) forge(t *testing.T, id string, components []string, change edits) point.Point {
	t.Helper()
	v := s.open(t)
	defer v.Close(t.Context())
	unlock, err := v.Lock("mariadb")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	session, err := v.Begin(t.Context(), id, "mariadb")
	if err != nil {
		t.Fatal(err)
	}
	defer session.Abandon(t.Context())
	from, err := v.FS(t.Context(), s.point.ID, "mariadb")
	if err != nil {
		t.Fatal(err)
	}
	p := s.point
	p.ID, p.Components = id, nil
	changed := map[string]bool{}
	for _, name := range components {
		_, copied, _ := strings.Cut(name, "/")
		c, ok := s.point.Component("mariadb", "shard0/"+copied)
		if !ok {
			t.Fatalf("the point has no %s", name)
		}
		root := c.Path
		c.Name, c.Path = name, strings.Replace(root, c.Name, name, 1)
		p.Components = append(p.Components, c)
		copyTree(t, from, root, session, c.Path, change, changed)
	}
	for name := range change {
		if !changed[name] {
			t.Fatalf("the point has no %s", name)
		}
	}
	if _, err := session.Seal(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	if err := v.SealPoint(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// copyTree takes the files below one directory over to another one, and changes some of them.
func copyTree(t *testing.T, from *vault.FS, dir string, to *vault.Session, root string, change edits, changed map[string]bool) {
	t.Helper()
	err := fs.WalkDir(from, dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := root + strings.TrimPrefix(file, dir)
		edit, ok := change[name]
		if !ok {
			e, err := from.Entry(file)
			if err != nil {
				return err
			}
			return to.Adopt(name, e)
		}
		changed[name] = true
		data, err := fs.ReadFile(from, file)
		if err != nil {
			return err
		}
		after := edit(data)
		if after == nil {
			return nil
		}
		if bytes.Equal(after, data) {
			t.Fatalf("%s was not changed", name)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return writePages(to, name, info.Sys().(stream.Meta), after)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func writePages(to *vault.Session, name string, m stream.Meta, data []byte) error {
	_, err := to.ReadFrom(name, m, stream.Pages, bytes.NewReader(data))
	return err
}

// open opens the vault of the scene's site.
func (s scene) open(t *testing.T) *vault.Vault {
	t.Helper()
	pass := strings.TrimSpace(read(t, s.site.Passphrase))
	loc := vault.Location{Tier: "local", URL: "file://" + s.site.Vault}
	v, err := vault.Open(t.Context(), loc, secret.New(pass), vault.OpenOptions{Cloud: s.point.Cloud})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// swap replaces a text once.
func swap(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
}

func drop([]byte) []byte { return nil }

func emptied([]byte) []byte { return []byte{} }

// drilled decodes what a drill printed.
func drilled(t *testing.T, r journey.Result) point.Drill {
	t.Helper()
	return decoded[point.Drill](t, r)
}

func decoded[T any](t *testing.T, r journey.Result) (d T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), &d); err != nil {
		t.Fatalf("the drill ended with %d and printed %q: %v\n%s", r.Code, r.Stdout, err, r.Stderr)
	}
	return d
}

// part returns what a drill found of a component.
func part(t *testing.T, d point.Drill, component string) point.DrillPart {
	t.Helper()
	for _, p := range d.Parts {
		if p.Component == component {
			return p
		}
	}
	t.Fatalf("the drill has no part %s: %+v", component, d)
	return point.DrillPart{}
}

// finds demands that a part found something of that kind at that name, whose text holds says.
func finds(t *testing.T, p point.DrillPart, what, name, says string) {
	t.Helper()
	for _, f := range p.Findings {
		if f.What == what && f.Name == name && strings.Contains(f.Text, says) {
			return
		}
	}
	t.Errorf("%s: nothing says of %s %s that %q: %+v", p.Component, what, name, says, p.Findings)
}

// nothingLeft demands that no drill of the site left a directory.
func (s scene) nothingLeft(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(path.Join(s.site.State, "drills"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range left {
		t.Errorf("a drill left %s", d.Name())
	}
}

// gone waits until processes have ended.
func gone(t *testing.T, all []journey.Process) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for _, p := range all {
		for tick := time.NewTicker(20 * time.Millisecond); p.Alive(); <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("it still runs: %v", p)
			}
		}
	}
}

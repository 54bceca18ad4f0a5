package vault

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

// twoPoints returns a closed vault with two points; p2 shares a.ibd with p1.
func twoPoints(t *testing.T) Location {
	t.Helper()
	v := newVault(t)
	for i, id := range []string{"p1", "p2"} {
		s := begin(t, v, id, "mariadb")
		put(t, s.Tree("db"), "a.ibd", stream.Pages, pages(2<<20, 1))
		put(t, s.Tree("db"), "b.ibd", stream.Pages, noise(1<<20, byte(10+i)))
		seal(t, s)
		sealPoint(t, v, id, good("mariadb", "db"))
	}
	return v.Location()
}

// blobs returns the files of a vault whose blob has the prefix, largest first.
func blobs(t *testing.T, loc Location, prefix string) []string {
	t.Helper()
	var found []string
	err := filepath.Walk(loc.URL, func(path string, fi os.FileInfo, err error) error {
		rel, _ := filepath.Rel(loc.URL, path)
		if err == nil && !fi.IsDir() && strings.HasPrefix(strings.ReplaceAll(rel, "/", ""), prefix) && strings.HasSuffix(rel, ".f") {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("no blob %s*: %v", prefix, err)
	}
	return found
}

// flip inverts the bytes of a file from off on.
func flip(t *testing.T, path string, off, n int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := off; i < min(off+n, len(data)); i++ {
		data[i] ^= 0xff
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifySound(t *testing.T) {
	v := openVault(t, twoPoints(t))
	for _, depth := range []Depth{Structure, Sample, Full} {
		calls := 0
		opts := VerifyOptions{Depth: depth, Percent: 50}
		if depth == Full {
			opts.Progress = func(Report) { calls++ }
		}
		rep, err := v.Verify(t.Context(), "", opts)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Points != 2 || rep.Files != 6+4 || rep.Contents < 16 || rep.Bytes < 2<<20 {
			t.Errorf("depth %d: %+v", depth, rep)
		}
		if read := rep.Read > 0; read != (depth != Structure) || depth == Full && (rep.Read != rep.Contents || calls == 0) {
			t.Errorf("depth %d: read %d of %d contents", depth, rep.Read, rep.Contents)
		}
	}
	if rep, err := v.Verify(t.Context(), "p2", VerifyOptions{}); err != nil || rep.Points != 1 {
		t.Errorf("one point: %+v, %v", rep, err)
	}
}

func TestVerifyNothing(t *testing.T) {
	v := newVault(t)
	for _, id := range []string{"", "p1"} {
		if _, err := v.Verify(t.Context(), id, VerifyOptions{}); problem.KindOf(err) != problem.NotFound {
			t.Errorf("verify %q of an empty vault = %v", id, err)
		}
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	cases := []struct {
		name  string
		depth Depth
		harm  func(t *testing.T, loc Location)
		file  string // that must be named, if any
	}{
		{"a flipped sector in a pack", Full, func(t *testing.T, loc Location) {
			for _, p := range blobs(t, loc, "p") {
				flip(t, p, 300<<10, 64<<10)
			}
		}, "db/"},
		{"a truncated pack", Structure, func(t *testing.T, loc Location) {
			if err := os.Truncate(blobs(t, loc, "p")[0], 100<<10); err != nil {
				t.Fatal(err)
			}
		}, "db/"},
		{"a missing pack", Structure, func(t *testing.T, loc Location) {
			if err := os.Remove(blobs(t, loc, "p")[0]); err != nil {
				t.Fatal(err)
			}
		}, "db/"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			loc := twoPoints(t)
			c.harm(t, loc)
			rep, err := openVault(t, loc).Verify(t.Context(), "", VerifyOptions{Depth: c.depth})
			if problem.KindOf(err) != problem.Damage || len(rep.Damaged) == 0 {
				t.Fatalf("verify = %+v, %v", rep, err)
			}
			for _, d := range rep.Damaged {
				if strings.Contains(d.What, "runtime error") {
					t.Fatalf("the verification itself broke: %+v", d)
				}
				if strings.HasPrefix(d.File, c.file) && d.Component == "db" && d.What != "" {
					return
				}
			}
			t.Errorf("no damage names a file in %s: %+v", c.file, rep.Damaged)
		})
	}
}

// TestDamagedMetadata harms what describes the data: whatever comes of it, it is an error and no panic.
func TestDamagedMetadata(t *testing.T) {
	for _, prefix := range []string{"q", "x"} {
		for _, harm := range []string{"flip", "truncate", "remove"} {
			t.Run(prefix+" "+harm, func(t *testing.T) {
				loc := twoPoints(t)
				for _, b := range blobs(t, loc, prefix) {
					damageBlob(t, b, harm)
				}
				v, err := Open(t.Context(), loc, testPass, OpenOptions{Cloud: testCloud, State: t.TempDir()})
				if err != nil {
					if problem.KindOf(err) != problem.Unreachable || problem.HintOf(err) == "" {
						t.Errorf("open = %v", err)
					}
					return
				}
				defer v.Close(t.Context())
				if rep, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err == nil {
					t.Errorf("verify = %+v, no error", rep)
				}
			})
		}
	}
}

func damageBlob(t *testing.T, path, harm string) {
	t.Helper()
	var err error
	switch harm {
	case "flip":
		flip(t, path, 0, 8<<10)
	case "truncate":
		err = os.Truncate(path, 50)
	case "remove":
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestVerifyComparesWithManifest takes away what the manifest says is there.
func TestVerifyComparesWithManifest(t *testing.T) {
	v := openVault(t, twoPoints(t))
	snaps, err := v.snapshots(t.Context(), map[string]string{tagPoint: "p1", tagSource: "mariadb"})
	if err != nil || len(snaps) != 1 {
		t.Fatalf("snapshots = %v, %v", snaps, err)
	}
	if err := v.forget(t.Context(), snaps[0].ID); err != nil {
		t.Fatal(err)
	}
	rep, err := v.Verify(t.Context(), "p1", VerifyOptions{})
	if problem.KindOf(err) != problem.Damage {
		t.Errorf("verify = %+v, %v", rep, err)
	}
	if _, err := v.Verify(t.Context(), "p2", VerifyOptions{Depth: Full}); err != nil {
		t.Errorf("the other point: %v", err)
	}
}

func TestSealPointRefusesWhatIsNotThere(t *testing.T) {
	v := newVault(t)
	s := begin(t, v, "p", "mariadb")
	put(t, s.Tree("db"), "a", stream.Plain, []byte("x"))
	seal(t, s)
	for _, c := range []point.Component{good("kolla", "ctl1"), good("mariadb", "other")} {
		p := point.Point{ID: "p", Cloud: testCloud, State: point.Complete, Components: []point.Component{c}}
		if err := v.SealPoint(t.Context(), p); err == nil {
			t.Errorf("sealed with %s in %s", c.Path, c.Source)
		}
	}
	sealPoint(t, v, "p", good("mariadb", "db"))
	if err := v.SealPoint(t.Context(), point.Point{ID: "p"}); err == nil {
		t.Error("sealed twice")
	}
}

// TestScratchIsSwept: what a killed verification left goes with the next one, and that of a living one stays.
func TestScratchIsSwept(t *testing.T) {
	v := newVault(t)
	living, remove, err := v.scratch()
	check(t, err)
	dead := filepath.Join(v.cache, scratchPrefix+"1")
	check(t, os.MkdirAll(filepath.Join(dead, "indexes"), 0o700))
	sealPoint(t, v, "p1")
	_, err = v.Verify(t.Context(), "", VerifyOptions{})
	check(t, err)
	left, err := filepath.Glob(filepath.Join(v.cache, scratchPrefix+"*"))
	check(t, err)
	if diff := cmp.Diff([]string{living}, left); diff != "" {
		t.Error(diff)
	}
	remove()
	if _, err := os.Stat(living); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

// TestOutageIsNoDamage takes a vault away while it is verified, read and copied: that is told as what it is, and nothing is in doubt when
// it is back.
func TestOutageIsNoDamage(t *testing.T) {
	v := newVault(t)
	imagePoint(t, v, "p1", "", upTo(60)...)
	second := secondVault(t, v)
	place := v.Location().URL
	var away func()
	for name, do := range map[string]func() error{
		"verify": func() error {
			rep, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full, Progress: func(Report) { away() }})
			if len(rep.Damaged) > 0 {
				t.Errorf("%d are told as damaged: %+v", len(rep.Damaged), rep.Damaged[0])
			}
			return err
		},
		"read": func() error {
			fsys, err := v.FS(t.Context(), "p1", "rbd")
			check(t, err)
			away()
			_, err = fs.ReadFile(fsys, "rbd/v.raw")
			return err
		},
		"copy": func() error {
			r := replica(t, v, second, ReplicaOptions{Parallel: 1, Progress: func(Copied) { away() }})
			sum, err := r.Copy(t.Context(), "p1")
			if len(sum.Damaged) > 0 {
				t.Errorf("%d are told as damaged: %+v", len(sum.Damaged), sum.Damaged[0])
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			away = sync.OnceFunc(func() { check(t, os.Rename(place, place+".away")) })
			if err := do(); problem.KindOf(err) != problem.Unreachable || problem.HintOf(err) == "" {
				t.Errorf("it is told as %v, hint %q", err, problem.HintOf(err))
			}
			check(t, os.Rename(place+".away", place))
			again := openVault(t, v.Location())
			if set, err := again.doubted(t.Context()); err != nil || set.len() > 0 {
				t.Errorf("in doubt are %v, %v", set.all(), err)
			}
			if _, err := again.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
				t.Error(err)
			}
		})
	}
}

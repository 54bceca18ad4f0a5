package vault

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

func TestPointsOfManyYears(t *testing.T) {
	v := newVault(t)
	const count = 1000
	err := v.write(t.Context(), "test", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		for i := range count {
			p := point.Point{ID: fmt.Sprintf("p%04d", i), Cloud: testCloud, Started: testTime.Add(time.Duration(i) * time.Hour), State: point.Complete}
			if _, err := v.savePoint(ctx, w, p, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	points, err := v.Points(t.Context())
	if err != nil || len(points) != count {
		t.Fatalf("%d points, %v", len(points), err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("listing %d points took %v", count, took)
	} else {
		t.Logf("listing %d points took %v", count, took)
	}
	if points[0].ID != "p0000" || points[count-1].ID != "p0999" {
		t.Errorf("order: %s … %s", points[0].ID, points[count-1].ID)
	}
}

// A point whose own manifest is damaged leaves the others to be listed and read.
func TestPointsBesideADamagedOne(t *testing.T) {
	v := newVault(t)
	writeAndSeal(t, v, "p1")
	err := v.write(t.Context(), "test", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		var b snapshotfs.DirManifestBuilder
		e, err := writeJSON(ctx, w, "no point")
		if err != nil {
			return err
		}
		e.Name = manifestName
		b.AddEntry(e)
		root := newEntry(snapshot.EntryTypeDirectory, meta(0o700))
		if err := writeDirManifest(ctx, w, &b, root, ""); err != nil {
			return err
		}
		m := newSnapshot(v.sourceInfo(pointPath), root, now())
		m.Tags = map[string]string{tagPoint: "p2", tagSource: pointPath}
		_, err = snapshot.SaveSnapshot(ctx, w, m)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	points, err := v.Points(t.Context())
	if err != nil || len(points) != 2 {
		t.Fatalf("points = %+v, %v", points, err)
	}
	for _, p := range points {
		whole := p.State == point.Complete && len(p.Components) == 1
		told := p.State == point.Failed && len(p.Components) == 0 && len(p.Notes) == 1 && !p.Started.IsZero()
		if p.ID == "p1" && !whole || p.ID == "p2" && !told {
			t.Errorf("point = %+v", p)
		}
	}
	if _, err := v.Verify(t.Context(), "p2", VerifyOptions{}); problem.KindOf(err) != problem.Damage {
		t.Errorf("verify the damaged point: %v", err)
	}
}

// writeAndSeal makes a point whose directories and manifests lie in packs of their own.
func writeAndSeal(t *testing.T, v *Vault, id string) {
	t.Helper()
	s := begin(t, v, id, "mariadb")
	put(t, s.Tree("db"), id, stream.Plain, []byte("content of "+id))
	seal(t, s)
	sealPoint(t, v, id, good("mariadb", "db"))
}

func TestDeleteAndMaintain(t *testing.T) {
	v := openVault(t, twoPoints(t))
	if err := v.Delete(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.FS(t.Context(), "p1", "mariadb"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("deleted point: %v", err)
	}
	if err := v.Delete(t.Context(), "p1"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	for _, full := range []bool{false, true} {
		maintain(t, v, MaintainOptions{Full: full})
	}
	if orphans, err := v.Orphans(t.Context()); err != nil || len(orphans) > 0 {
		t.Errorf("orphans = %v, %v", orphans, err)
	}
	if rep, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil || rep.Points != 1 {
		t.Errorf("verify = %+v, %v", rep, err)
	}
	st, err := v.Stats(t.Context())
	if err != nil || st.Blobs == 0 || st.Bytes == 0 || st.Free <= 0 || st.Capacity < st.Free {
		t.Errorf("stats = %+v, %v", st, err)
	}
}

func TestOrphans(t *testing.T) {
	v := newVault(t)
	for _, source := range []string{"mariadb", "kolla"} {
		s := begin(t, v, "p", source)
		put(t, s.Tree("x"), "a", stream.Plain, []byte("x"))
		seal(t, s)
	}
	writeAndSeal(t, v, "q")
	if n := sweep(t, v, "mariadb"); n != 1 {
		t.Errorf("swept %d", n)
	}
	orphans, err := v.Orphans(t.Context())
	if err != nil || len(orphans) != 1 || orphans[0].Point != "p" || orphans[0].Source != "kolla" {
		t.Errorf("orphans that others may own: %+v, %v", orphans, err)
	}
	if points, err := v.Points(t.Context()); err != nil || len(points) != 1 || points[0].ID != "q" {
		t.Errorf("points %v, %v", points, err)
	}
}

// sweep deletes the orphans of a source and returns how many there were.
func sweep(t *testing.T, v *Vault, source string) int {
	t.Helper()
	orphans, err := v.Orphans(t.Context())
	check(t, err)
	orphans = slices.DeleteFunc(orphans, func(o Orphan) bool { return o.Source != source })
	check(t, v.Sweep(t.Context(), orphans...))
	return len(orphans)
}

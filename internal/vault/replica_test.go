package vault

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
	"holdfast/internal/stream"
)

// secondVault makes an empty vault of the same cloud as another one.
func secondVault(t *testing.T, of *Vault) *Vault {
	t.Helper()
	return openVault(t, createSecond(t, of))
}

func createSecond(t *testing.T, of *Vault) Location {
	t.Helper()
	loc := Location{Tier: "second", URL: filepath.Join(t.TempDir(), "vault")}
	if err := Create(t.Context(), loc, testPass, CreateOptions{Cloud: testCloud, HashSecret: of.HashSecret()}); err != nil {
		t.Fatal(err)
	}
	return loc
}

// replicate copies all that a vault lacks, and returns what each point took, newest first.
func replicate(t *testing.T, from, to *Vault) (all []Copied) {
	t.Helper()
	r := replica(t, from, to, ReplicaOptions{})
	for _, p := range r.Lacking() {
		c, err := r.Copy(t.Context(), p.ID)
		check(t, err)
		all = append(all, c)
	}
	return all
}

func replica(t *testing.T, from, to *Vault, o ReplicaOptions) *Replica {
	t.Helper()
	r, err := from.Replica(t.Context(), to, o)
	check(t, err)
	t.Cleanup(func() { check(t, r.Close(context.Background())) })
	return r
}

const replicaPieces = 200 // of the image in imagePoint

// imagePoint seals a point with an image and a tree. The image is that of the parent, if there is one, with some other pieces.
func imagePoint(t *testing.T, v *Vault, id, parent string, pieces ...int) {
	t.Helper()
	s, err := v.Begin(t.Context(), id, "rbd")
	check(t, err)
	o := ImageOptions{Size: replicaPieces * leastBlock}
	if parent != "" {
		fsys, err := v.FS(t.Context(), parent, "rbd")
		check(t, err)
		o.Parent, err = fsys.Entry("rbd/v.raw")
		check(t, err)
	}
	i, err := s.Image("rbd/v.raw", meta(0o600), o)
	check(t, err)
	for _, n := range pieces {
		check(t, i.Next(int64(n)*leastBlock, leastBlock))
		data := noise(leastBlock, byte(n))
		copy(data, id)
		_, err := i.Write(data)
		check(t, err)
	}
	check(t, i.Close())
	f, err := s.Tree("tree/a/b").Create("c", meta(0o640), stream.Plain)
	check(t, err)
	_, err = f.Write([]byte("the same in all points"))
	check(t, err)
	check(t, f.Close())
	check(t, s.Tree("tree").Symlink("link", "a/b/c", meta(0o777)))
	_, err = s.Seal(t.Context(), nil, nil)
	check(t, err)
	p := point.Point{ID: id, Cloud: testCloud, Started: testTime, State: point.Complete, Components: []point.Component{good("rbd", "rbd/v.raw"), good("rbd", "tree")}}
	check(t, v.SealPoint(t.Context(), p))
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// reads notes which packs are read of a vault, and how often.
type reads struct {
	blob.Storage
	mu    sync.Mutex
	packs []blob.ID
}

func (r *reads) GetBlob(ctx context.Context, id blob.ID, offset, length int64, out blob.OutputBuffer) error {
	r.mu.Lock()
	r.packs = append(r.packs, id)
	r.mu.Unlock()
	return r.Storage.GetBlob(ctx, id, offset, length, out)
}

// data is how many reads there were of packs of data.
func (r *reads) data() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.packs {
		if id[0] == 'p' {
			n++
		}
	}
	return n
}

func (r *reads) GetShardedPathAndFilePath(ctx context.Context, id blob.ID) (dir, file string, err error) {
	return r.Storage.(placer).GetShardedPathAndFilePath(ctx, id)
}

func watch(v *Vault) *reads {
	r := &reads{Storage: v.store.Storage}
	v.store.Storage = r
	return r
}

// TestReplica copies points into a second vault, loses the first, and restores from the second.
func TestReplica(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(40)...)
	imagePoint(t, first, "p2", "p1", 3, 7, 100)
	second := secondVault(t, first)
	if r := replica(t, first, second, ReplicaOptions{}); len(r.Lacking()) != 2 || r.Lacking()[0].ID != "p2" || r.Held() != 0 {
		t.Errorf("before: lacking %v, held %d", r.Lacking(), r.Held())
	}
	copied := replicate(t, first, second)
	if len(copied) != 2 || copied[0].ReadBack < readBackLeast || copied[0].Proven < 40 {
		t.Errorf("copied %+v", copied)
	}
	want, err := first.Points(t.Context())
	check(t, err)
	files := map[string][]byte{}
	for _, id := range []string{"p1", "p2"} {
		files[id] = imageOf(t, first, id)
	}
	roots := rootsOf(t, first)
	check(t, os.RemoveAll(first.Location().URL))

	again := openVault(t, second.Location())
	got, err := again.Points(t.Context())
	check(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("points (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(roots, rootsOf(t, again)); diff != "" {
		t.Errorf("roots (-first +second):\n%s", diff)
	}
	sameFiles(t, again, files)
	if rep, err := again.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil || rep.Points != 2 {
		t.Errorf("verify the second: %+v, %v", rep, err)
	}
	if left := again.mustOrphans(t); len(left) > 0 {
		t.Errorf("orphans %v", left)
	}
}

// sameFiles compares the images of points with what they were.
func sameFiles(t *testing.T, again *Vault, files map[string][]byte) {
	t.Helper()
	for id, want := range files {
		if got := imageOf(t, again, id); !bytes.Equal(got, want) {
			t.Errorf("%s: the image differs", id)
		}
		fsys, err := again.FS(t.Context(), id, "rbd")
		check(t, err)
		if target, err := fsys.ReadLink("tree/link"); err != nil || target != "a/b/c" {
			t.Errorf("link %q, %v", target, err)
		}
	}
}

func imageOf(t *testing.T, v *Vault, id string) []byte {
	t.Helper()
	fsys, err := v.FS(t.Context(), id, "rbd")
	check(t, err)
	data, err := fs.ReadFile(fsys, "rbd/v.raw")
	check(t, err)
	return data
}

// rootsOf returns the names of all roots in a vault, by point and source.
func rootsOf(t *testing.T, v *Vault) map[string]string {
	t.Helper()
	snaps, err := v.snapshots(t.Context(), nil)
	check(t, err)
	roots := map[string]string{}
	for _, m := range snaps {
		roots[m.Tags[tagPoint]+" "+m.Tags[tagSource]] = m.RootObjectID().String()
	}
	return roots
}

// TestReplicaReadsWhatIsNew counts what is read of the first vault: nothing when nothing is new, and of the data of an
// increment only the pieces that it brought.
func TestReplicaReadsWhatIsNew(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(replicaPieces)...)
	second := secondVault(t, first)
	replicate(t, first, second)

	seen := watch(first)
	if again := replicate(t, first, second); len(again) > 0 || seen.data() > 0 {
		t.Errorf("nothing is new: copied %+v, %d reads of data", again, seen.data())
	}
	imagePoint(t, first, "p2", "p1", 5, 6, 150)
	seen.packs = nil
	copied := replicate(t, first, second)
	if len(copied) != 1 || seen.data() > 4 { // three pieces and manifest.json
		t.Errorf("an increment of three pieces: copied %+v, %d reads of data", copied, seen.data())
	}
	if c := copied[0]; c.Contents > 12 || c.Proven > 20 || c.Bytes < 3*leastBlock || c.Bytes > 4*leastBlock {
		t.Errorf("an increment of three pieces: %+v", c)
	}
}

// TestReplicaDryRun counts what is then copied.
func TestReplicaDryRun(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(20)...)
	imagePoint(t, first, "p2", "p1", 3)
	second := secondVault(t, first)
	dry := replica(t, first, second, ReplicaOptions{DryRun: true})
	var counted []Copied
	for _, p := range dry.Lacking() {
		c, err := dry.Copy(t.Context(), p.ID)
		check(t, err)
		counted = append(counted, c)
	}
	if points, err := second.Points(t.Context()); err != nil || len(points) > 0 {
		t.Fatalf("a dry run made points: %v, %v", points, err)
	}
	copied := replicate(t, first, second)
	for i, c := range copied {
		if c.Contents != counted[i].Contents || c.Bytes != counted[i].Bytes {
			t.Errorf("counted %+v, copied %+v", counted[i], c)
		}
	}
}

// TestReplicaOfDamage loses a piece of the first vault: it is named, the point is not held, all else of it is copied, and once
// the piece is back only that is read.
func TestReplicaOfDamage(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(40)...)
	imagePoint(t, first, "p2", "", 60, 61)
	second := secondVault(t, first)
	piece := pieceOf(t, first, "p1", 11)
	var pack string
	var whole []byte
	strike(t, first, piece, func(path string, info content.Info) (err error) {
		if whole, err = os.ReadFile(path); err != nil {
			return err
		}
		pack = path
		flip(t, path, int(info.PackOffset), int(info.PackedLength))
		return nil
	})
	r := replica(t, first, second, ReplicaOptions{})
	if _, err := r.Copy(t.Context(), "p2"); err != nil {
		t.Errorf("a whole point: %v", err)
	}
	c, err := r.Copy(t.Context(), "p1")
	if problem.KindOf(err) != problem.Damage || len(c.Damaged) != 1 {
		t.Fatalf("copy of a damaged point: %+v, %v", c, err)
	}
	if d := c.Damaged[0]; d.Point != "p1" || d.Source != "rbd" || d.Component != "rbd/v.raw" || d.File != "rbd/v.raw" || !strings.Contains(d.What, piece.String()) {
		t.Errorf("damage %+v", d)
	}
	points, err := second.Points(t.Context())
	if err != nil || len(points) != 1 || points[0].ID != "p2" {
		t.Errorf("held %v, %v", points, err)
	}
	check(t, os.WriteFile(pack, whole, 0o600))
	seen := watch(first)
	if copied := replicate(t, first, second); len(copied) != 1 || seen.data() > 2 {
		t.Errorf("after the repair: %+v, %d reads of data", copied, seen.data())
	}
	if _, err := second.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}

// pieceOf returns the content of a piece of a point's image.
func pieceOf(t *testing.T, v *Vault, point string, n int) content.ID {
	t.Helper()
	fsys, err := v.FS(t.Context(), point, "rbd")
	check(t, err)
	e, err := fsys.lookup("rbd/v.raw")
	check(t, err)
	entries, err := contentsOf(v.repo).entries(t.Context(), e.ObjectID, e.FileSize)
	check(t, err)
	id, _, ok := entries[n].Object.ContentID()
	if !ok {
		t.Fatalf("piece %v has no content", entries[n])
	}
	return id
}

// TestReplicaMends loses packs of the second vault that an earlier try left there: they are written anew.
func TestReplicaMends(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(40)...)
	second := secondVault(t, first)
	replicate(t, first, second)
	check(t, second.Delete(t.Context(), "p1"))
	for _, path := range blobs(t, second.Location(), "p") {
		check(t, os.Remove(path))
	}
	replicate(t, first, openVault(t, second.Location()))
	if _, err := openVault(t, second.Location()).Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}

// TestReplicaProves harms the second vault between the copy and its proof.
func TestReplicaProves(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(40)...)
	second := secondVault(t, first)
	lossy := &losing{Storage: second.store.Storage}
	second.store.Storage = lossy
	r := replica(t, first, second, ReplicaOptions{})
	if _, err := r.Copy(t.Context(), "p1"); !errors.Is(err, errUnproven) {
		t.Errorf("copy = %v", err)
	}
	if points, err := second.Points(t.Context()); err != nil || len(points) > 0 {
		t.Errorf("an unproven point is held: %v, %v", points, err)
	}
}

// TestReplicaOverDamage copies a point again to a vault that it was removed from, and where a directory and pieces of it, which no point
// there refers to and so no verification reads, are damaged: they are written anew.
func TestReplicaOverDamage(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(20)...)
	imagePoint(t, first, "p2", "p1", 9)
	second := secondVault(t, first)
	replicate(t, first, second)
	strike(t, second, contentOfEntry(t, second, "p1", "rbd", "rbd", false), zero)
	strike(t, second, contentOfEntry(t, second, "p1", "rbd", "rbd/v.raw", true), zero)
	check(t, second.Delete(t.Context(), "p1"))
	second = openVault(t, second.Location())
	r := replica(t, first, second, ReplicaOptions{})
	sum, err := r.Copy(t.Context(), "p1")
	if err != nil || sum.Mended != 2 {
		t.Errorf("copy over damage = %+v, %v", sum, err)
	}
	check(t, r.Close(t.Context()))
	if _, err := openVault(t, second.Location()).Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Error(err)
	}
}

// losing says yes to packs of data and keeps nothing.
type losing struct{ blob.Storage }

func (l *losing) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, o blob.PutOptions) error {
	err := l.Storage.PutBlob(ctx, id, data, o)
	if err == nil && id[0] == 'p' {
		err = l.DeleteBlob(ctx, id)
	}
	return err
}

func (l *losing) GetShardedPathAndFilePath(ctx context.Context, id blob.ID) (dir, file string, err error) {
	return l.Storage.(placer).GetShardedPathAndFilePath(ctx, id)
}

// TestReplicaOfAnotherCloud refuses a vault that names contents in another way.
func TestReplicaOfAnotherCloud(t *testing.T) {
	first, other := newVault(t), newVault(t)
	if _, err := first.Replica(t.Context(), other, ReplicaOptions{}); problem.KindOf(err) != problem.Usage {
		t.Errorf("another secret: %v", err)
	}
	loc := Location{URL: filepath.Join(t.TempDir(), "vault")}
	if err := Create(t.Context(), loc, testPass, CreateOptions{Cloud: testCloud, HashSecret: secret.New("short")}); problem.KindOf(err) != problem.Usage {
		t.Errorf("a short secret: %v", err)
	}
}

// TestReplicaSendsAgainWhatIsInDoubt damages a piece in the second vault, where a verification finds it: the next point that
// holds the piece brings it again, which mends the earlier one too.
func TestReplicaSendsAgainWhatIsInDoubt(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(20)...)
	second := secondVault(t, first)
	replicate(t, first, second)
	strike(t, second, pieceOf(t, second, "p1", 7), func(path string, info content.Info) error {
		flip(t, path, int(info.PackOffset), int(info.PackedLength))
		return nil
	})
	if _, err := second.Verify(t.Context(), "p1", VerifyOptions{Depth: Full}); problem.KindOf(err) != problem.Damage {
		t.Fatalf("verify a flipped piece: %v", err)
	}
	imagePoint(t, first, "p2", "p1", 9)
	replicate(t, first, openVault(t, second.Location()))
	again := openVault(t, second.Location())
	if _, err := again.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
		t.Errorf("after the next point: %v", err)
	}
	if doubts, err := again.doubted(t.Context()); err != nil || doubts.len() > 0 {
		t.Errorf("%d are in doubt, %v", doubts.len(), err)
	}
}

// TestReplicaWithoutLease: what is copied once the lease is lost is not sealed, because another one may be alone in the vault by then.
func TestReplicaWithoutLease(t *testing.T) {
	quick(t)
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(20)...)
	second := secondVault(t, first)
	unlock, err := second.LockEverywhere("replicate")
	check(t, err)
	defer unlock()
	r, err := first.Replica(t.Context(), second, ReplicaOptions{})
	check(t, err)
	all, err := second.leases(t.Context())
	check(t, err)
	for end := time.Now().Add(time.Minute); second.failure(nil) == nil; {
		for _, m := range all {
			_ = second.drop(t.Context(), m.BlobID)
		}
		if time.Now().After(end) {
			t.Fatal("the lease is not missed")
		}
		time.Sleep(leaseBeat)
	}
	if _, err := r.Copy(t.Context(), "p1"); err == nil {
		t.Error("it was copied")
	}
	_ = r.Close(context.Background())
	if got := listedIDs(t, openVault(t, second.Location())); len(got) > 0 {
		t.Errorf("sealed: %v", got)
	}
}

// TestCopyInDoubt: a copy of which something is known to be damaged is no copy for who removes the other one.
func TestCopyInDoubt(t *testing.T) {
	first := newVault(t)
	imagePoint(t, first, "p1", "", upTo(20)...)
	imagePoint(t, first, "p2", "", 31, 32)
	second := secondVault(t, first)
	replicate(t, first, second)
	strike(t, second, pieceOf(t, second, "p1", 5), zero)
	fsys, err := second.FS(t.Context(), "p1", "rbd")
	check(t, err)
	if _, err = fsys.ReadFile("rbd/v.raw"); err == nil {
		t.Fatal("nothing is damaged")
	}
	copies, err := first.Copies(t.Context(), second)
	check(t, err)
	if copies["p1"] || !copies["p2"] {
		t.Errorf("whole: %v", copies)
	}
	imagePoint(t, second, "p3", "p1", 6)
	imagePoint(t, second, "p4", "p3", 5)
	doubted, err := second.Doubted(t.Context())
	check(t, err)
	if !doubted["p1"] || doubted["p2"] || !doubted["p3"] || doubted["p4"] {
		t.Errorf("in doubt: %v", doubted)
	}
}

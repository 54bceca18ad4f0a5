package vault

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
)

// longAgo is where a clock begins that a test moves on. It never comes to what is the present for kopia, which else would look
// at the vault's format anew for every content.
const longAgo = -300 * time.Hour

// clock makes the vault's clock one that a test moves on.
func clock(t testing.TB) (advance func(time.Duration)) {
	var off atomic.Int64
	off.Store(int64(longAgo))
	was := now
	now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	t.Cleanup(func() { now = was })
	return func(d time.Duration) { off.Add(int64(d)) }
}

// stamped is a store whose clock is the vault's.
type stamped struct{ blob.Storage }

func (s stamped) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	opts.SetModTime = now()
	return s.Storage.PutBlob(ctx, id, data, opts)
}

func (s stamped) GetShardedPathAndFilePath(ctx context.Context, id blob.ID) (dir, file string, err error) {
	return s.Storage.(placer).GetShardedPathAndFilePath(ctx, id)
}

func newStamped(t testing.TB) *Vault {
	v := newVault(t)
	v.store.Storage = stamped{v.store.Storage}
	return v
}

// noisyPoint seals a point with some bytes of its own, and some that all have.
func noisyPoint(t testing.TB, v *Vault, n, size int) string {
	id := fmt.Sprintf("p%04d", n)
	s, err := v.Begin(t.Context(), id, "mariadb")
	check(t, err)
	for name, data := range map[string][]byte{"own": noise(size, byte(n)), "common": noise(1<<20, 255)} {
		if name == "own" {
			copy(data, id)
		}
		check(t, s.WriteFile("db/"+name, meta(0o600), data))
	}
	_, err = s.Finish("db")
	check(t, err)
	_, err = s.Seal(t.Context(), nil, nil)
	check(t, err)
	sealPoint(t, v, id, good("mariadb", "db"))
	return id
}

func packBytes(t testing.TB, v *Vault) (n int64) {
	t.Helper()
	for _, prefix := range []blob.ID{"p", "q"} {
		check(t, v.store.ListBlobs(t.Context(), prefix, func(m blob.Metadata) error { n += m.Length; return nil }))
	}
	return n
}

// TestReclaim: the space of removed points comes back over the cycles that Back tells, and a run beside them that shares what
// was theirs loses nothing.
func TestReclaim(t *testing.T) {
	advance := clock(t)
	v := newStamped(t)
	var ids []string
	for n := range 5 {
		ids = append(ids, noisyPoint(t, v, n, 13<<20)) // a pack that is not small
	}
	advance(30 * time.Hour)
	full := packBytes(t, v)
	end := runBeside(t, v, own0(13<<20)) // as p0000 has it, which is about to go
	l := own(t, v, false)
	gone, err := l.Remove(ids[:3]...)
	if err != nil || len(gone) != 3 {
		t.Fatalf("gone %v, %v", gone, err)
	}
	before, err := v.Cycles(t.Context())
	check(t, err)
	back, cycles := before.Back(now().Add(-29*time.Hour), now())
	var freed int64
	for n := range cycles {
		if n == 1 {
			if m := maintain(t, v, MaintainOptions{Full: true, Lease: l}); m.Postponed == "" {
				t.Errorf("a second cycle beside a run that is older than the first: %+v", m)
			}
			end()
		}
		m := maintain(t, v, MaintainOptions{Full: true, Lease: l})
		freed += m.Freed
		t.Logf("cycle %d: %+v, packs hold %d of %d", n+1, m, packBytes(t, v), full)
		if n < cycles-1 {
			advance(CycleApart)
		}
	}
	if late := now().Sub(back); late > time.Minute || late < -time.Minute {
		t.Errorf("the last of the cycles is %v off what was told", late)
	}
	if left := packBytes(t, v); freed < 26<<20 || left > full-(12<<20) { // the run beside holds one of the three anew
		t.Errorf("%d bytes were freed, packs hold %d of %d", freed, left, full)
	}
	whole(t, v, 3)
}

func own0(size int) []byte {
	data := noise(size, 0)
	copy(data, "p0000")
	return data
}

// whole verifies all of a vault from a new process's point of view.
func whole(t testing.TB, v *Vault, points int) {
	t.Helper()
	r, err := openVault(t, v.Location()).Verify(t.Context(), "", VerifyOptions{Depth: Full})
	if err != nil || r.Points != points || len(r.Damaged) > 0 {
		t.Errorf("verified %+v, %v", r, err)
	}
}

// TestReclaimAlone: without writers space comes back at once, and none begins before it has ended.
func TestReclaimAlone(t *testing.T) {
	v := newVault(t)
	var ids []string
	for n := range 4 {
		ids = append(ids, noisyPoint(t, v, n, 13<<20)) // the first one's pack also has what all share
	}
	full := packBytes(t, v)
	unlock, err := v.Lock("kolla")
	check(t, err)
	if _, err := v.Own(t.Context(), "prune", true); problem.KindOf(err) != problem.Busy {
		t.Errorf("alone beside a run: %v", err)
	}
	unlock()
	l := own(t, v, true)
	if _, err := v.Lock("kolla"); problem.KindOf(err) != problem.Busy {
		t.Errorf("a run beside one that is alone: %v", err)
	}
	_, err = l.Remove(ids[:2]...)
	check(t, err)
	m := maintain(t, v, MaintainOptions{Full: true, Lease: l})
	if left := packBytes(t, v); left > full-(26<<20) || m.Freed < 26<<20 || m.Waiting > 1<<20 {
		t.Errorf("%+v, packs hold %d of %d", m, left, full)
	}
	l.Release()
	noisyPoint(t, v, 9, 1<<20)
	whole(t, v, 3)
}

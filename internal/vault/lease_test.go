package vault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"golang.org/x/sys/unix"

	"holdfast/internal/problem"
)

func maintain(t testing.TB, v *Vault, opts MaintainOptions) Maintained {
	t.Helper()
	done, err := v.Maintain(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func own(t testing.TB, v *Vault, alone bool) *Lease {
	t.Helper()
	l, err := v.Own(t.Context(), "prune", alone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	return l
}

// TestLeasesExclude: one owner at a time, writers beside it but not beside one that is alone, and the error names the holder.
func TestLeasesExclude(t *testing.T) {
	v := newVault(t)
	other := openVault(t, v.Location())
	take := func(v *Vault, kind string) (func(), error) {
		switch kind {
		case leaseWrite:
			return v.Lock("kolla")
		case leaseCopy:
			return v.lock(leaseCopy, fmt.Sprintf("by vault %p", v)) // no lock of one host is in the way
		}
		l, err := v.Own(t.Context(), "prune", kind == leaseAlone)
		if err != nil {
			return nil, err
		}
		return l.Release, nil
	}
	for _, c := range []struct {
		first, then string
		busy        bool
	}{
		{leaseOwn, leaseOwn, true}, {leaseOwn, leaseAlone, true}, {leaseAlone, leaseOwn, true},
		{leaseOwn, leaseWrite, false}, {leaseWrite, leaseOwn, false},
		{leaseAlone, leaseWrite, true}, {leaseWrite, leaseAlone, true},
		{leaseCopy, leaseCopy, true}, {leaseCopy, leaseWrite, false}, {leaseCopy, leaseOwn, false}, {leaseOwn, leaseCopy, false},
		{leaseCopy, leaseAlone, true}, {leaseAlone, leaseCopy, true},
	} {
		release, err := take(v, c.first)
		check(t, err)
		again, err := take(other, c.then)
		if busy := problem.KindOf(err) == problem.Busy; err != nil && !busy || busy != c.busy || busy && problem.HintOf(err) == "" {
			t.Errorf("%s beside %s: %v", c.then, c.first, err)
		}
		if c.busy && err != nil && !strings.Contains(err.Error(), "process ") {
			t.Errorf("nobody is named: %v", err)
		}
		if again != nil {
			again()
		}
		release()
		again, err = take(other, c.then)
		check(t, err)
		again()
	}
	if left, err := v.leases(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// leaseOf puts the lease of somebody else into the vault.
func leaseOf(t *testing.T, v *Vault, kind string, p process) blob.ID {
	t.Helper()
	name := leaseBlobs + blob.ID(kind+".0123456789abcdef")
	check(t, v.put(t.Context(), name, Holder{What: "prune", Since: testTime, Process: p}))
	return name
}

// TestKilledOwner: the lease of a process of this machine that is no more is taken over at once, that of a living one is not.
func TestKilledOwner(t *testing.T) {
	v := newVault(t)
	c := exec.Command("sleep", "60")
	check(t, c.Start())
	p := thisProcess()
	p.PID = c.Process.Pid
	var err error
	p.Started, err = started(p.PID)
	check(t, err)
	leaseOf(t, v, leaseAlone, p)
	if _, err := v.Lock("kolla"); problem.KindOf(err) != problem.Busy {
		t.Errorf("beside a living owner: %v", err)
	}
	check(t, c.Process.Kill())
	_ = c.Wait() // it was killed
	own(t, v, true)

	p.PID = os.Getpid() // another process has the number now
	if !p.dead() || thisProcess().dead() {
		t.Error("a process is told by its number alone")
	}
}

// TestExpiredLease of another machine is taken over once the store has seen no sign of its holder for long enough, whatever the
// clocks say; one that is renewed is not, however old it looks.
func TestExpiredLease(t *testing.T) {
	quick(t)
	v := newVault(t)
	name := leaseOf(t, v, leaseOwn, process{Host: "elsewhere", Boot: "b", Space: "s", PID: 1, Started: "1"})
	if _, err := v.Own(t.Context(), "prune", false); problem.KindOf(err) != problem.Busy || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("just renewed: %v", err)
	}
	_, file, err := v.store.Storage.(placer).GetShardedPathAndFilePath(t.Context(), name)
	check(t, err)
	for _, c := range []struct {
		off  time.Duration
		beat bool
		busy bool
	}{{-time.Hour, true, true}, {time.Hour, true, true}, {-time.Hour, false, false}} {
		at := time.Now().Add(c.off)
		check(t, os.Chtimes(file, at, at))
		renewed := time.AfterFunc(leaseWatch/2, func() {
			if c.beat {
				_ = os.Chtimes(file, at.Add(time.Second), at.Add(time.Second)) // told by the error below
			}
		})
		l, err := v.Own(t.Context(), "prune", false)
		renewed.Stop()
		if busy := problem.KindOf(err) == problem.Busy && err != nil; busy != c.busy {
			t.Errorf("%v off, beating %v: %v", c.off, c.beat, err)
		}
		if l != nil {
			l.Release()
		}
	}
}

// quick makes leases short.
func quick(t *testing.T) {
	beat, term, watch := leaseBeat, leaseTerm, leaseWatch
	leaseBeat, leaseTerm, leaseWatch = 20*time.Millisecond, 10*time.Second, 400*time.Millisecond
	t.Cleanup(func() { leaseBeat, leaseTerm, leaseWatch = beat, term, watch })
}

// TestLostLease: an owner whose lease was taken over stops, and a writer's seal is refused.
func TestLostLease(t *testing.T) {
	quick(t)
	v := newVault(t)
	l := own(t, v, false)
	for range 3 {
		check(t, v.drop(t.Context(), l.name))
		if _, err := v.store.GetMetadata(t.Context(), l.name); err != nil {
			break
		}
	}
	ended(t, l.Context())
	if _, err := l.Remove("p"); problem.KindOf(err) != problem.Busy || !strings.Contains(err.Error(), "lost") {
		t.Errorf("removal under a lost lease: %v", err)
	}
	unlock, err := v.Lock("kolla")
	check(t, err)
	defer unlock()
	all, err := v.leases(t.Context())
	check(t, err)
	for _, m := range all {
		check(t, v.drop(t.Context(), m.BlobID))
	}
	for end := time.Now().Add(10 * time.Second); v.failure(nil) == nil && time.Now().Before(end); {
		<-time.After(leaseBeat)
	}
	if err := v.write(t.Context(), "test", nil); err == nil {
		t.Error("a writer goes on whose lease was taken over")
	}
	v.fatal.Store(nil)
}

func ended(t *testing.T, ctx context.Context) {
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

// hanging is a storage that does not even say no to a lease.
type hanging struct {
	blob.Storage
	on   *atomic.Bool
	free chan struct{}
}

func (s hanging) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, o blob.PutOptions) error {
	if s.on.Load() && strings.HasPrefix(string(id), string(leaseBlobs)) {
		select {
		case <-s.free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.Storage.PutBlob(ctx, id, data, o)
}

// TestRenewalHangs: who does not hear from the store has lost the lease before another one may have it.
func TestRenewalHangs(t *testing.T) {
	quick(t)
	leaseBeat, leaseTerm = 300*time.Millisecond, 1500*time.Millisecond
	v := newVault(t)
	h := hanging{v.store.Storage, &atomic.Bool{}, make(chan struct{})}
	v.store.Storage = h
	first := own(t, v, false)
	first.mu.Lock()
	first.holder.Process.Boot = "of another host"
	first.mu.Unlock()
	check(t, first.renew())
	h.on.Store(true)
	other := openVault(t, v.Location())
	second, err := other.Own(t.Context(), "prune", true)
	for end := time.Now().Add(20 * time.Second); err != nil; second, err = other.Own(t.Context(), "prune", true) {
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	defer second.Release()
	if first.Context().Err() == nil {
		t.Error("two own the vault")
	}
	close(h.free)
}

// TestNoRoomForLease: a writer that cannot say that it writes does not.
func TestNoRoomForLease(t *testing.T) {
	v := newVault(t)
	own(t, openVault(t, v.Location()), true)
	v.store.Storage = full{v.store.Storage}
	if unlock, err := v.Lock("mariadb"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("beside one that is alone: %v", err)
		if err == nil {
			unlock()
		}
	}
}

type full struct{ blob.Storage }

func (full) PutBlob(context.Context, blob.ID, blob.Bytes, blob.PutOptions) error { return unix.ENOSPC }

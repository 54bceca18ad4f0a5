package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
)

// leaseBlobs tell who does what in a vault, one each. Their names tell the kind, their encrypted contents the holder.
const leaseBlobs blob.ID = "holdfast.lease."

// The kinds of leases. There is one owner at a time, beside any writers; one that is alone has no writers beside it. Of writers that
// copy from another vault there is one at a time.
const (
	leaseWrite = "write"
	leaseCopy  = "copy"
	leaseOwn   = "own"
	leaseAlone = "alone"
)

// When a lease is renewed, after which time without it the holder may be dead, and for how long it is then watched. Times of
// the holder's clock play no part: the age of a lease is the difference of two times of the store, and what is watched is
// whether the store sees it change.
var (
	leaseBeat  = 30 * time.Second
	leaseTerm  = 2 * time.Minute
	leaseWatch = 40 * time.Second
)

// Two that want a lease at one moment may see each other, and both give way: then they try again, a few times.
const (
	leaseTries = 4
	leaseYoung = time.Second
)

var errContended = errors.New("another one wants it too")

// contended is the error of one who gave way to a lease that is as young as its own.
type contended struct{ error }

func (contended) Is(target error) bool { return target == errContended }

// Holder tells who holds a lease. Since is by the holder's clock.
type Holder struct {
	What    string    `json:"what"`
	Since   time.Time `json:"since"`
	Process process   `json:"process"`
}

func (h Holder) String() string {
	if h.Since.IsZero() {
		return "somebody whose lease cannot be read"
	}
	return fmt.Sprintf("%s, process %d on %s, since %s", h.What, h.Process.PID, h.Process.Host, h.Since.Format(time.RFC3339))
}

// Lease is the right to do something in a vault that excludes others, on whatever host. Whoever holds it renews it all along;
// one whose holder has died is taken over by the next.
type Lease struct {
	v      *Vault
	name   blob.ID
	kind   string
	at     time.Time // of the store, when it was taken
	mu     sync.Mutex
	holder Holder

	ctx      context.Context
	cancel   context.CancelCauseFunc
	ended    sync.WaitGroup
	released atomic.Bool
}

// Own takes the lease of the vault's one owner, who removes points and reclaims space; alone, while nobody writes. Removals that
// an owner began who died are finished first. When somebody else has it the error is a problem of kind Busy that names the holder.
func (v *Vault) Own(ctx context.Context, what string, alone bool) (*Lease, error) {
	kind := leaseOwn
	if alone {
		kind = leaseAlone
	}
	l, err := v.lease(ctx, kind, what)
	if err != nil {
		return nil, problem.Wrap(err, "own vault", v.loc.URL)
	}
	if err := l.finishRemovals(); err != nil {
		l.Release()
		return nil, problem.Wrap(l.failure(err), "finish the removal of points of vault", v.loc.URL)
	}
	return l, nil
}

// Context ends when the lease is released, or was lost: nothing may be removed after it.
func (l *Lease) Context() context.Context { return l.ctx }

// Time is when the lease was taken, by the clock of the store.
func (l *Lease) Time() time.Time { return l.at }

// Lock is Vault.Lock for the owner, who may have the vault alone.
func (l *Lease) Lock(source string) (unlock func(), err error) {
	if l.kind == leaseAlone {
		return l.v.flock(source)
	}
	return l.v.Lock(source)
}

// LockEverywhere is Vault.LockEverywhere for the owner.
func (l *Lease) LockEverywhere(what string) (unlock func(), err error) {
	if l.kind == leaseAlone {
		return l.v.flock(what)
	}
	return l.v.LockEverywhere(what)
}

// Release ends the lease.
func (l *Lease) Release() {
	if l.released.Swap(true) {
		return
	}
	l.cancel(errLeaseEnded)
	l.ended.Wait()
	if !errors.Is(context.Cause(l.ctx), errLeaseLost) { // else it may be another's by now
		_ = l.v.drop(context.WithoutCancel(l.ctx), l.name) // what stays expires
	}
}

var (
	errLeaseEnded = errors.New("the lease was released")
	errLeaseLost  = errors.New("the lease of the vault was lost: for too long it could not be renewed, or another process took it over")
)

// failure returns why the lease ended in the place of the error that this led to.
func (l *Lease) failure(err error) error {
	if cause := context.Cause(l.ctx); err != nil && errors.Is(cause, errLeaseLost) {
		return problem.New(problem.Busy, "run it again", "%w", cause)
	}
	return err
}

// lease puts a blob that announces what is about to be done, and only then looks for others: of two that do so at one moment
// one sees the other at least.
func (v *Vault) lease(ctx context.Context, kind, what string) (*Lease, error) {
	holder := Holder{What: what, Since: now().UTC(), Process: thisProcess()}
	var err error
	for range leaseTries {
		var l *Lease
		if l, err = v.tryLease(ctx, kind, holder); err == nil {
			l.start(ctx)
			return l, nil
		}
		if !errors.Is(err, errContended) {
			break
		}
		if err := pause(ctx, 50*time.Millisecond, 250*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, err
}

func (v *Vault) tryLease(ctx context.Context, kind string, holder Holder) (*Lease, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	l := &Lease{v: v, kind: kind, holder: holder, name: leaseBlobs + blob.ID(kind+"."+hex.EncodeToString(id[:]))}
	err := v.put(ctx, l.name, holder)
	if err == nil {
		err = l.contend(ctx)
	}
	if err != nil {
		_ = v.drop(context.WithoutCancel(ctx), l.name)
		return nil, err
	}
	return l, nil
}

// contend is an error of kind Busy while a living lease is there that this one cannot stand beside.
func (l *Lease) contend(ctx context.Context) error {
	mine, err := l.v.store.GetMetadata(ctx, l.name)
	if err != nil {
		return fmt.Errorf("find lease: %w", err)
	}
	l.at = mine.Timestamp
	others, err := l.v.leases(ctx)
	if err != nil {
		return err
	}
	for _, m := range others {
		if m.BlobID == l.name || !excludes(l.kind, leaseKind(m.BlobID)) {
			continue
		}
		h, alive, err := l.v.alive(ctx, m, mine.Timestamp)
		if err != nil {
			return err
		}
		if !alive {
			continue
		}
		err = fmt.Errorf("it is in use: %s", h)
		if mine.Timestamp.Sub(m.Timestamp).Abs() < leaseYoung {
			err = contended{err}
		}
		return problem.New(problem.Busy, "wait until it ends; if it was killed on another host, this works some minutes later", "%w", err)
	}
	return nil
}

// excludes reports whether leases of the kinds a and b cannot be at one time.
func excludes(a, b string) bool {
	owns := !writes(a) && !writes(b)
	return owns || a == leaseAlone || b == leaseAlone || a == leaseCopy && b == leaseCopy
}

func writes(kind string) bool { return kind == leaseWrite || kind == leaseCopy }

func leaseKind(name blob.ID) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(string(name), string(leaseBlobs)), ".")
	return kind
}

func (v *Vault) leases(ctx context.Context) (all []blob.Metadata, err error) {
	all, err = blob.ListAllBlobs(ctx, v.store, leaseBlobs)
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	return all, nil
}

// alive reports whether the holder of a lease lives, at a time of the store. The lease of one that does not is removed.
func (v *Vault) alive(ctx context.Context, m blob.Metadata, at time.Time) (h Holder, alive bool, err error) {
	switch err := v.kept(ctx, m.BlobID, &h); {
	case errors.Is(err, blob.ErrBlobNotFound):
		return h, false, nil
	case err != nil:
		h = Holder{} // of a cut-off writer, or damaged: it has its time to be renewed, as any other
	case h.Process.dead():
		return h, false, v.drop(ctx, m.BlobID)
	}
	if at.Sub(m.Timestamp).Abs() < leaseTerm {
		return h, true, nil
	}
	if err := pause(ctx, leaseWatch, leaseWatch); err != nil {
		return h, false, err
	}
	later, err := v.store.GetMetadata(ctx, m.BlobID)
	switch {
	case errors.Is(err, blob.ErrBlobNotFound):
		return h, false, nil
	case err != nil:
		return h, false, fmt.Errorf("watch lease: %w", err)
	case !later.Timestamp.Equal(m.Timestamp):
		return h, true, nil
	}
	return h, false, v.drop(ctx, m.BlobID)
}

// start renews the lease until its end.
func (l *Lease) start(ctx context.Context) {
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.ended.Go(func() {
		beat := time.NewTicker(leaseBeat)
		defer beat.Stop()
		renewed := time.Now()
		for {
			select {
			case <-l.ctx.Done():
				return
			case <-beat.C:
			}
			late := time.AfterFunc(leaseTerm-leaseBeat-time.Since(renewed), l.lose) // a store may not even say no
			err := l.renew()
			if late.Stop(); l.ctx.Err() != nil {
				return
			}
			if err == nil {
				renewed = time.Now()
			} else if errors.Is(err, blob.ErrBlobNotFound) || time.Since(renewed) > leaseTerm-2*leaseBeat {
				l.lose()
				return
			}
		}
	})
}

// renew changes the time that the store gives the lease.
func (l *Lease) renew() error {
	if _, err := l.v.store.GetMetadata(l.ctx, l.name); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.v.put(l.ctx, l.name, l.holder)
}

// say changes what the lease tells that its holder does.
func (l *Lease) say(what string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder.What = what
	return l.v.put(l.ctx, l.name, l.holder)
}

// lose ends what is done under the lease. Where a writer is, nothing it wrote may be called good any more.
func (l *Lease) lose() {
	if l.ctx.Err() != nil {
		return
	}
	if writes(l.kind) {
		err := errLeaseLost
		l.v.fatal.CompareAndSwap(nil, &err)
	}
	l.cancel(errLeaseLost)
}

// reclaiming is what the lease of an owner tells that removes no points any more.
const reclaiming = "reclaiming space"

// refuseRemover is a problem of kind Busy while somebody may be removing points.
func (v *Vault) refuseRemover(ctx context.Context) error {
	leases, err := v.leases(ctx)
	if err != nil {
		return err
	}
	for _, m := range leases {
		var h Holder
		if writes(leaseKind(m.BlobID)) || v.kept(ctx, m.BlobID, &h) == nil && (h.What == reclaiming || h.Process.dead()) {
			continue
		}
		return problem.New(problem.Busy, "run it again once that has ended: the hold stands, but the point may be on its way out", "points are being removed: %s", h)
	}
	return nil
}

// Writers returns who writes into the vault now, as far as leases tell.
func (v *Vault) Writers(ctx context.Context) (all []Holder, err error) {
	leases, err := v.leases(ctx)
	if err != nil {
		return nil, problem.Wrap(err, "find writers of vault", v.loc.URL)
	}
	for _, m := range leases {
		var h Holder
		if !writes(leaseKind(m.BlobID)) || v.kept(ctx, m.BlobID, &h) != nil || h.Process.dead() {
			continue
		}
		all = append(all, h)
	}
	return all, nil
}

// pause waits for a time between two.
func pause(ctx context.Context, least, most time.Duration) error {
	if n, err := rand.Int(rand.Reader, big.NewInt(int64(most-least)+1)); err == nil {
		least += time.Duration(n.Int64())
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(least):
		return nil
	}
}

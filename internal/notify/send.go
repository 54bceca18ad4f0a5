package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/internal/durable"
	"holdfast/internal/secret"
)

// How long a way that failed waits: the first time so long, then twice as long each time, up to the most. The most is what a message
// waits for after the trouble is over.
const (
	firstWait = 5 * time.Second
	mostWait  = 5 * time.Minute
	// longestSleep is after how long Run looks at the clock again, which may have been set.
	longestSleep = 10 * time.Minute
)

// doubtful is an error after which a message may have been taken nevertheless.
type doubtful struct{ error }

// Unwrap returns what happened.
func (d doubtful) Unwrap() error { return d.error }

// Run sends what is to be told, until ctx ends.
func (t *Teller) Run(ctx context.Context) {
	t.learn(ctx, true)
	if t.configured() {
		t.update(t.begin)
	}
	for t.configured() {
		wait := t.round(ctx, false)
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-time.After(min(wait, longestSleep)):
		}
	}
}

// Flush sends at once everything that is to be told, and reports what could not be sent; that stays for the next time.
func (t *Teller) Flush(ctx context.Context) error {
	if !t.configured() {
		return nil
	}
	t.learn(ctx, true)
	t.update(t.begin)
	t.round(ctx, true)
	errs := []error{ctx.Err()}
	for _, s := range t.Status() {
		if s.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s", s.Way, s.Error))
		}
	}
	return errors.Join(errs...)
}

// round lets every way send what is due, all at one time, and returns when there is more to do.
func (t *Teller) round(ctx context.Context, now bool) time.Duration {
	t.addDigest()
	waits := make([]time.Duration, len(t.ways)+1)
	var all sync.WaitGroup
	for i, w := range t.ways {
		all.Go(func() { waits[i] = t.deliver(ctx, w, now) })
	}
	all.Go(func() { waits[len(t.ways)] = t.pings.deliver(ctx, now) })
	all.Wait()
	soonest := t.untilDigest()
	for _, w := range waits {
		soonest = min(soonest, w)
	}
	return max(soonest, 10*time.Millisecond)
}

// deliver sends what a box holds, if it is due, and returns when there is more to do. One process at a time has a box.
func (t *Teller) deliver(ctx context.Context, w way, now bool) time.Duration {
	if unlock, err := durable.Lock(stateFile(t.dir) + "." + fileName(w.name()) + ".lock"); err == nil {
		defer unlock()
	}
	var m *message
	wait := longestSleep
	t.update(func(s *state) { m, wait = t.seal(s, s.box(w.name()), now) })
	if m == nil {
		return wait
	}
	err := w.send(ctx, *m)
	if ctx.Err() != nil && err != nil {
		err = doubtful{err} // it counts as not tried
	}
	t.update(func(s *state) { wait = s.box(w.name()).settle(err, t.tellable(err), t.now(), ctx.Err() != nil) })
	return wait
}

// seal makes a message of a box's news, if it is time to send one.
func (t *Teller) seal(s *state, b *box, now bool) (*message, time.Duration) {
	if b.Sealed == nil && len(b.News) == 0 {
		return nil, longestSleep
	}
	at := t.now()
	wait := b.Next.Sub(at)
	if b.Sealed == nil && b.Tries == 0 {
		oldest := b.News[0].Last
		for _, n := range b.News {
			oldest = earliest(oldest, n.Last)
		}
		wait = min(oldest.Add(linger).Sub(at), linger)
	}
	if wait > 0 && wait <= mostWait && !now { // a clock that was set back does not keep it longer
		return nil, wait
	}
	if b.Sealed == nil {
		m := t.compose(*b, s.Troubles)
		b.Sealed, b.News, b.More = &m, nil, 0
	}
	return b.Sealed, 0
}

// settle notes what came of sending the sealed message, and returns when the box is to be looked at again.
func (b *box) settle(err error, text string, now time.Time, stopped bool) time.Duration {
	var unsure doubtful
	switch {
	case err == nil:
		b.Sealed, b.Tries, b.Error, b.Sent, b.Next, b.Since = nil, 0, "", now, time.Time{}, time.Time{}
		b.Delivered++
		return 0
	case stopped:
		return longestSleep
	case !errors.As(err, &unsure):
		b.unseal()
	}
	if b.Tries == 0 || b.Since.After(now) {
		b.Since = now
	}
	wait := mostWait
	if b.Tries < 10 {
		wait = min(firstWait<<b.Tries, mostWait)
	}
	b.Tries++
	b.Failures++
	b.Error, b.Next = text, now.Add(wait)
	return wait
}

// tellable is an error in one line, without secrets.
func (t *Teller) tellable(err error) string {
	if err == nil {
		return ""
	}
	return t.clean(strings.Join(strings.Fields(err.Error()), " "))
}

// resolve fetches a secret, which is never told from then on.
func (t *Teller) resolve(ctx context.Context, ref secret.Ref, what string) (secret.Secret, error) {
	if ref.IsZero() {
		return secret.Secret{}, nil
	}
	s, err := secret.Resolve(ctx, ref, secret.Options{What: what, Warn: t.warn})
	if err != nil {
		return secret.Secret{}, err
	}
	return t.hide(s), nil
}

// fileName makes a name of letters, digits and dashes.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '@' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}

package rbd

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/stream"
)

// DefaultSample is how many pieces beside what has changed are read and compared after each increment.
const DefaultSample = 16

const (
	// mostOfPiece is how many bytes of a piece are read from the image at most.
	mostOfPiece = 512 << 10
	page        = 4 << 10
	// sampleWithin is how long the reading of a sample may take. It is no reason to hold a run up.
	sampleWithin = 5 * time.Minute
)

// blindRuns is after how many runs an image is read in full where no samples can be read.
const blindRuns = 3

// look finds out of which clusters no samples can be read, if any are wanted, beside what else is done until the returned
// function is called.
func (s *Source) look(ctx context.Context, wanted bool) func() map[*Cluster]error {
	errs := make([]error, len(s.Clusters))
	var wg sync.WaitGroup
	for n := range s.Clusters {
		if wanted && s.Sample > 0 {
			wg.Go(func() { errs[n] = s.Clusters[n].CanRanges(ctx) })
		}
	}
	return func() map[*Cluster]error {
		wg.Wait()
		blind := map[*Cluster]error{}
		for n, err := range errs {
			if err != nil {
				blind[&s.Clusters[n]] = err
			}
		}
		return blind
	}
}

func (s *Source) toldBlind() (notes []string) {
	for n := range s.Clusters {
		c := &s.Clusters[n]
		if err := s.blind[c]; err != nil {
			notes = append(notes, fmt.Sprintf("cluster %s: what did not change is not looked at, so every %dth run reads an image in full: %v", c, blindRuns+1, err))
		}
	}
	return notes
}

// patience is after how many runs an image of the cluster is read in full.
func (s *Source) patience(c *Cluster) int {
	if s.blind[c] != nil {
		return min(s.Distrust, blindRuns)
	}
	return s.Distrust
}

// lie is a place that differs from an earlier copy and of which Ceph said that nothing was written there since.
type lie struct {
	at   int64
	copy string // which
	spec cephcmd.Spec
}

func (l *lie) Error() string {
	return fmt.Sprintf("a random sample differs from %s at byte %d, where Ceph says that nothing was written since: that copy, and others of this image since it "+
		"was last read in full, may not be right; have its object map rebuilt (rbd object-map rebuild %s) and look for what went wrong", l.copy, l.at, l.spec)
}

// sampling reads single ranges of the snapshot. It is made ready while the difference is streamed, since that takes as long.
type sampling struct {
	ranges chan []stream.Extent // buffered
	each   func(n int, data []byte) error
	done   chan error // buffered
	end    context.CancelFunc
}

// sampling begins, if this capture is to take a sample, and is nil if not.
func (c *capture) sampling(ctx context.Context) *sampling {
	s := c.pool.source
	if c.streamFrom() == "" && c.base == nil || s.Sample <= 0 || s.blind[c.pool.cluster] != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &sampling{ranges: make(chan []stream.Extent, 1), done: make(chan error, 1), end: cancel}
	which := func() []stream.Extent {
		select {
		case ranges := <-p.ranges:
			return ranges
		case <-ctx.Done():
			return nil
		}
	}
	each := func(n int, data []byte) error { return p.each(n, data) }
	go func() { p.done <- c.pool.cluster.Ranges(ctx, c.spec().At(c.snapshot.Name), which, each) }()
	return p
}

// stop ends what was not asked for anything.
func (p *sampling) stop() {
	if p != nil {
		p.end()
	}
}

// compare reads a sample of what the stream left out, and returns a *lie if it holds something else than the earlier copy.
// What keeps a sample from being read does not make the increment worse, and is told.
func (p *sampling) compare(ctx context.Context, c *capture) error {
	if p == nil {
		return nil
	}
	dice := newDice()
	pieces := choose(c.dst.Kept(), c.pool.source.Sample, dice)
	if len(pieces) == 0 {
		return nil
	}
	ranges := make([]stream.Extent, len(pieces))
	for n, piece := range pieces {
		ranges[n] = window(piece.Extent, dice)
	}
	p.each = func(n int, data []byte) error { return c.compareWith(ctx, pieces[n], ranges[n], data) }
	p.ranges <- ranges
	late := time.NewTimer(sampleWithin)
	defer late.Stop()
	var err error
	select {
	case err = <-p.done:
	case <-late.C:
		p.end()
		<-p.done
		err = fmt.Errorf("it took longer than %v", sampleWithin)
	}
	var found *lie
	switch {
	case err == nil, errors.As(err, &found), errors.Is(err, stream.ErrBase), ctx.Err() != nil:
		return err
	}
	text := "no random sample could be read of what Ceph says did not change: " + err.Error()
	c.sink.Note(text)
	c.notes = append(c.notes, text)
	return nil
}

// compareWith compares a range of a piece, as the snapshot has it, with what the vault holds.
func (c *capture) compareWith(ctx context.Context, p stream.Piece, at stream.Extent, data []byte) error {
	if err := c.spend(ctx, len(data)); err != nil {
		return err
	}
	held, err := c.dst.ReadKept(p)
	if err != nil {
		return err
	}
	held = held[at.Offset-p.Offset:][:len(data)]
	if !bytes.Equal(held, data) {
		return &lie{at.Offset + int64(firstDifference(held, data)), c.beneath(), c.spec()}
	}
	c.sampled += int64(len(data))
	return nil
}

// window is the part of a piece that is read.
func window(p stream.Extent, dice *rand.Rand) stream.Extent {
	length := min(p.Length, mostOfPiece)
	return stream.Extent{Offset: p.Offset + dice.Int64N((p.Length-length)/page+1)*page, Length: length}
}

// beneath names the copy that the image is laid over.
func (c *capture) beneath() string {
	if c.base != nil {
		return "the copy of " + c.base.component + " in " + c.base.copy.From()
	}
	return "the copy in " + c.copy.From()
}

func firstDifference(a, b []byte) int {
	for n := range a {
		if a[n] != b[n] {
			return n
		}
	}
	return len(a)
}

// newDice are random in a way that nobody can foresee.
func newDice() *rand.Rand {
	var seed [32]byte
	_, _ = cryptorand.Read(seed[:]) // never fails
	return rand.New(rand.NewChaCha8(seed))
}

// choose takes n pieces at random: three of four that hold data, since there is more to be wrong, as far as there are any.
func choose(kept []stream.Piece, n int, dice *rand.Rand) []stream.Piece {
	var data, zero []stream.Piece
	for _, p := range kept {
		if p.Zero {
			zero = append(zero, p)
		} else {
			data = append(data, p)
		}
	}
	for _, all := range [][]stream.Piece{data, zero} {
		dice.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	}
	empty := min(len(zero), max(n/4, n-len(data)))
	return append(data[:min(len(data), n-empty)], zero[:empty]...)
}

package main

import (
	"fmt"
	"slices"
)

// pair is what one run of Holdfast and one of its peer took, in seconds or whatever else is compared.
type pair struct{ ours, theirs float64 }

// comparison is a series of interleaved pairs.
type comparison []pair

// compare runs both sides n times, in turns, each first as often as the other, so that neither a warm cache nor what
// else the machine does favours one.
func (b *bench) compare(n int, ours, theirs func() (float64, error)) (comparison, error) {
	var c comparison
	for i := range n {
		var p pair
		var err error
		sides := []func() error{
			func() error { p.ours, err = ours(); return err },
			func() error { p.theirs, err = theirs(); return err },
		}
		if i%2 == 1 {
			slices.Reverse(sides)
		}
		for _, run := range sides {
			if err := b.settle(); err != nil {
				return c, err
			}
			if err := run(); err != nil {
				return c, err
			}
		}
		b.say("   pair %d: ours %.2f, peer %.2f, ratio %.2f", i+1, p.ours, p.theirs, p.ours/p.theirs)
		c = append(c, p)
	}
	return c, nil
}

// ratio is the median of the pairs' ratios.
func (c comparison) ratio() float64 {
	return c.median(func(p pair) float64 { return p.ours / p.theirs })
}

func (c comparison) ours() float64   { return c.median(func(p pair) float64 { return p.ours }) }
func (c comparison) theirs() float64 { return c.median(func(p pair) float64 { return p.theirs }) }

func (c comparison) median(of func(pair) float64) float64 {
	values := make([]float64, len(c))
	for i, p := range c {
		values[i] = of(p)
	}
	return median(values)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// seconds describes the medians of both sides.
func (c comparison) seconds(peer string) string {
	return fmt.Sprintf("%.2f s, %s %.2f s, %d pairs", c.ours(), peer, c.theirs(), len(c))
}

// atMost makes a figure of a ratio that must not exceed bar.
func (c comparison) atMost(what string, bar float64, peer string) figure {
	return figure{
		What: what, Bar: fmt.Sprintf("≤ %.2f ×", bar), Measured: fmt.Sprintf("%.2f ×", c.ratio()),
		Verdict: verdict(c.ratio() <= bar), Detail: c.seconds(peer),
	}
}

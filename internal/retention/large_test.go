package retention

import (
	"fmt"
	"testing"

	"holdfast/internal/config"
)

// BenchmarkLarge decides on 1,000 points of 1,000 images, one of which fails now and then.
func BenchmarkLarge(b *testing.B) {
	in := Input{
		Keep: config.Keep{Rules: config.Rules{Age: config.Week, Last: 3, Daily: 14, Weekly: 8, Monthly: 12, Yearly: 3}}, Now: at(b, "2026-09-27"),
	}
	for i, p := range every(b, "2024-01-01", "2026-09-26", config.Day) {
		var names []string
		for n := range 1000 {
			name := fmt.Sprintf("rbd volumes/volume-%04d", n)
			if (i+n)%997 == 0 {
				name += "=failed"
			}
			names = append(names, name)
		}
		in.Points = append(in.Points, taken(p.Started, names...))
	}
	for b.Loop() {
		if decide(b, in).Removed() < 900 {
			b.Fatal("few leave")
		}
	}
}

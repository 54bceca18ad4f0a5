package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Size writes n bytes in IEC units with three digits: 999 B, 1.46 GiB, 24.0 MiB.
func Size(n int64) string {
	if n < 0 {
		return "-" + Size(-n)
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 999.5 && unit < len(iec)-1 {
		v /= 1024
		unit++
	}
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f %s", v, iec[unit])
	case v < 99.95:
		return fmt.Sprintf("%.1f %s", v, iec[unit])
	}
	return fmt.Sprintf("%.0f %s", v, iec[unit])
}

var iec = []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// Rate writes bytes per second, or "" when nothing can be said.
func Rate(perSecond float64) string {
	if perSecond <= 0 || math.IsInf(perSecond, 0) || math.IsNaN(perSecond) {
		return ""
	}
	return Size(int64(perSecond)) + "/s"
}

// Span writes a duration as people say it: 0.4 s, 12.3 s, 2m05s, 1h02m, 3d04h.
func Span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 99950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	d = d.Round(time.Hour)
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// Ratio writes how many times smaller fresh is than read, or "" when nothing was read.
func Ratio(read, fresh int64) string {
	switch {
	case read <= 0:
		return ""
	case fresh <= 0:
		return "all known"
	}
	r := float64(read) / float64(fresh)
	if r >= 99.95 {
		return fmt.Sprintf("%.0fx", r)
	}
	return fmt.Sprintf("%.1fx", r)
}

// Percent writes a share without needless digits: 100, 3.3, 0.04.
func Percent(p float64) string {
	if p >= 10 {
		return fmt.Sprintf("%.0f", p)
	}
	return fmt.Sprintf("%.2g", p)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// clean makes what a far side said fit for one line of a terminal: control characters, and with them escape
// sequences, become spaces.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

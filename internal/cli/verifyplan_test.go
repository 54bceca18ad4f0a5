package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/point"
)

// typesAt is types at another time.
func (p *places) typesAt(exit int, at time.Time, args ...string) {
	p.t.Helper()
	a, stdout, stderr := testApp("")
	a.env.Now = func() time.Time { return at }
	got := Main(p.t.Context(), append([]string{"-c", p.file()}, args...), a.env)
	p.stdout, p.stderr = stdout.String(), stderr.String()
	if got != exit {
		p.t.Fatalf("holdfast %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, exit, p.stdout, p.stderr)
	}
}

// TestVerifyAllReadsEverythingInTime verifies all points once a day, in 4 days: each day reads something, all together all packs, and
// what was proven is told with its depth.
func TestVerifyAllReadsEverythingInTime(t *testing.T) {
	p := newPlaces(t, "local")
	p.promises("{read: 4d}")
	p.types(0, "init", "--yes")
	for n := range 6 {
		p.takes(fmt.Sprintf("p%d", n), strings.Repeat("x", 1000+n))
	}
	contents, read := 0, 0
	for day := range 4 {
		p.typesAt(0, time.Now().Add(time.Duration(day+1)*24*time.Hour), "verify", "--all", "--json")
		var points []verified
		if err := json.Unmarshal([]byte(p.stdout), &points); err != nil || len(points) != 6 {
			t.Fatalf("%v\n%s", err, p.stdout)
		}
		today := 0
		contents = 0
		for _, v := range points {
			contents += v.Contents
			today += v.Read
		}
		if today == 0 || today == contents {
			t.Errorf("day %d: %d of %d read", day, today, contents)
		}
		read += today
	}
	if read < contents {
		t.Errorf("%d of %d read in all", read, contents)
	}
	p.types(0, "show", "p3")
	p.sees(`^tier local holds it, verified .* UTC \([0-9.]+ % read\)`)
	p.types(0, "verify", "p3", "--full")
	p.types(0, "verify", "--all", "--quick")
	p.types(0, "show", "p3")
	p.sees(`verified .* UTC \(looked for\), read in full .* UTC`)
	p.types(0, "points", "--json")
	var all []point.Point
	if err := json.Unmarshal([]byte(p.stdout), &all); err != nil || len(all) != 6 || all[3].Tiers[0].ReadInFull == nil || all[3].Tiers[0].Depth != "quick" {
		t.Errorf("points --json: %v %+v", err, all)
	}
	p.types(2, "verify", "--quick", "--full")
}

package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flag"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/event"
	"holdfast/internal/point"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

// play is a run of three components over 40 seconds of the bubble's time. Frames are handed to at every ten seconds.
func play(d Display, at func(second int)) {
	tell := func(e event.Event) { e.Time = time.Now(); d.Listen(e) }
	time.Sleep(redraw / 2) // no event falls on the instant of a frame, where either could be first
	tell(event.Event{Kind: event.RunStarted, Point: "p1"})
	tell(event.Event{Kind: event.Planned, Source: "mariadb", Component: "shard0/physical", Host: "ctl2", Total: 4 * gib})
	tell(event.Event{Kind: event.Planned, Source: "mariadb", Component: "shard0/logical", Host: "ctl2"})
	tell(event.Event{Kind: event.Planned, Source: "kolla", Component: "ctl1", Total: 20 * mib})
	tell(event.Event{Kind: event.Started, Source: "mariadb", Component: "shard0/physical", Host: "ctl2"})
	tell(event.Event{Kind: event.Started, Source: "kolla", Component: "ctl1", Host: "ctl1"})
	for s := 1; s <= 40; s++ {
		time.Sleep(time.Second)
		tell(event.Event{Kind: event.Progress, Source: "mariadb", Component: "shard0/physical", Bytes: int64(s) * 100 * mib, New: int64(s) * 10 * mib})
		switch s {
		case 5:
			tell(event.Event{Kind: event.Note, Source: "kolla", Component: "ctl1", Text: "vanished: /etc/kolla/x\x1b[2J"})
			tell(event.Event{Kind: event.Finished, Source: "kolla", Component: "ctl1", State: "partial", Bytes: 3 * mib, New: mib, Seconds: 5, Text: "unreadable: /etc/kolla/y"})
		case 15:
			tell(event.Event{Kind: event.Started, Source: "mariadb", Component: "shard0/logical", Host: "ctl2"})
		case 20:
			tell(event.Event{Kind: event.Progress, Source: "mariadb", Component: "shard0/logical", Bytes: 700 * mib})
		case 38:
			tell(event.Event{Kind: event.Finished, Source: "mariadb", Component: "shard0/logical", State: "good", Bytes: 716 * mib, New: 90 * mib, Seconds: 23})
		case 40:
			tell(event.Event{Kind: event.Finished, Source: "mariadb", Component: "shard0/physical", State: "good", Bytes: 4000 * mib, New: 400 * mib, Seconds: 40})
			tell(event.Event{Kind: event.RunFinished, Point: "p1", State: "partial"})
		}
		if at != nil && s%10 == 0 {
			time.Sleep(200 * time.Millisecond)
			at(s)
		}
	}
	d.Close()
}

func TestLive(t *testing.T) {
	for _, width := range []int{120, 80, 40, 20} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &screen{t: t, wide: width}
				d := New(Options{Mode: Live, Out: s, Now: time.Now, Color: true, Size: s.size})
				var b strings.Builder
				play(d, func(second int) { fmt.Fprintf(&b, "--- %d s\n%s", second, s) })
				if !s.colored {
					t.Error("no colour")
				}
				if most := 42 * 10; s.writeCalls > most {
					t.Errorf("%d frames in 42 s, want at most %d", s.writeCalls, most)
				}
				golden(t, fmt.Sprintf("live-%d.txt", width), b.String())
			})
		})
	}
}

func TestLiveSaysAboveTheBars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{t: t, wide: 80}
		d := New(Options{Mode: Live, Out: s, Now: time.Now, Size: s.size})
		d.Listen(event.Event{Kind: event.Started, Source: "kolla", Component: "ctl1"})
		time.Sleep(time.Second)
		d.Say("holdfast: interrupted")
		d.Close()
		d.Close()
		d.Say("bye")
		if !strings.HasSuffix(s.String(), "0/1\nbye\n") {
			t.Errorf("screen after the end:\n%s", s)
		}
		lines := strings.Split(s.String(), "\n")
		if lines[0] != "holdfast: interrupted" || !strings.HasPrefix(lines[1], "kolla ctl1") || s.colored {
			t.Errorf("screen:\n%s", s)
		}
	})
}

// TestLiveEndsOnAFrame ends at the instant when a frame is due, where either may be first: the frame must not follow.
func TestLiveEndsOnAFrame(t *testing.T) {
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			s := &screen{t: t, wide: 80}
			d := New(Options{Mode: Live, Out: s, Now: time.Now, Size: s.size})
			d.Listen(event.Event{Kind: event.Started, Source: "kolla", Component: "ctl1"})
			time.Sleep(11 * redraw)
			d.Close()
			if n := strings.Count(s.String(), "kolla"); n != 1 {
				t.Fatalf("screen:\n%s", s)
			}
		})
	}
}

// TestLiveNarrowed wraps a frame by shrinking the terminal under it: nothing of the old frame may stay.
func TestLiveNarrowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{t: t, wide: 100}
		d := New(Options{Mode: Live, Out: s, Now: time.Now, Size: s.size})
		d.Listen(event.Event{Kind: event.Started, Source: "kolla", Component: "ctl1", Total: mib})
		time.Sleep(time.Second + redraw/2)
		s.resize(30)
		time.Sleep(time.Second + redraw)
		d.Close()
		if n := strings.Count(s.String(), "kolla"); n != 1 || strings.Count(s.String(), "\n") != 2 {
			t.Errorf("screen:\n%s", s)
		}
	})
}

func TestManyComponentsFitTheScreen(t *testing.T) {
	b := newBoard()
	now := time.Unix(0, 0)
	for i := range 100 {
		name := fmt.Sprintf("host%03d", i)
		b.apply(event.Event{Kind: event.Planned, Time: now, Source: "kolla", Component: name})
		if i < 40 {
			b.apply(event.Event{Kind: event.Finished, Time: now, Source: "kolla", Component: name, State: "good"})
		} else if i < 44 {
			b.apply(event.Event{Kind: event.Started, Time: now, Source: "kolla", Component: name})
		}
	}
	b.apply(event.Event{Kind: event.Finished, Time: now, Source: "kolla", Component: "host007", State: "failed"})
	lines := b.frame(look{width: 80, height: 10, now: now})
	text := strings.Join(lines, "\n")
	if len(lines) != 9 || !strings.Contains(text, "… 93 more") {
		t.Errorf("%d lines:\n%s", len(lines), text)
	}
	for _, name := range []string{"host007", "host040", "host043", "host044"} {
		if !strings.Contains(text, name) {
			t.Errorf("%s is not shown:\n%s", name, text)
		}
	}
}

func TestPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		d := New(Options{Out: &b, Now: time.Now})
		play(d, nil)
		d.Say("done")
		if strings.Contains(b.String(), "\x1b") {
			t.Error("escape sequence in plain output")
		}
		golden(t, "plain.txt", b.String())
	})
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		d := New(Options{Mode: JSON, Out: &b, Now: time.Now})
		play(d, nil)
		d.Say("done")
		progress := 0
		for line := range strings.Lines(b.String()) {
			var e event.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.IsZero() || e.Kind == "" {
				t.Fatalf("%q: %v", line, err)
			}
			if e.Kind == event.Progress {
				progress++
			}
		}
		if progress != 41 {
			t.Errorf("%d progress lines, want one per second and component: 41", progress)
		}
	})
}

func TestJSONBoundsProgress(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(1000, 0)
	d := New(Options{Mode: JSON, Out: &b, Now: func() time.Time { return now }})
	for range 1000 {
		d.Listen(event.Event{Kind: event.Progress, Source: "kolla", Component: "ctl1", Bytes: 5})
		now = now.Add(10 * time.Millisecond)
	}
	if n := strings.Count(b.String(), "\n"); n != 10 {
		t.Errorf("%d lines for 10 s", n)
	}
}

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		d := New(Options{Mode: Quiet, Out: &b, Now: time.Now})
		play(d, nil)
		if b.Len() != 0 || len(d.Lines()) != 3 {
			t.Errorf("wrote %q, %d lines", b.String(), len(d.Lines()))
		}
		golden(t, "closing.txt", Closing(d.Lines(), 40*time.Second).String())
	})
}

func TestPointLines(t *testing.T) {
	p := point.Point{Components: []point.Component{
		{Source: "mariadb", Name: "shard0/physical", State: point.Good, Reason: "ctl2 is synced", BytesRead: gib, BytesNew: mib, Seconds: 2},
		{Source: "kolla", Name: "ctl9", State: point.Skipped, Reason: "down"},
	}}
	want := []Line{
		{"mariadb shard0/physical", gib, mib, 2, "good", ""},
		{"kolla ctl9", 0, 0, 0, "skipped", "down"},
	}
	if diff := cmp.Diff(want, PointLines(p)); diff != "" {
		t.Error(diff)
	}
}

func TestStalledRateFalls(t *testing.T) {
	b := newBoard()
	start := time.Unix(0, 0)
	e := event.Event{Kind: event.Started, Time: start, Source: "s", Component: "c", Total: gib}
	b.apply(e)
	for s := range 20 {
		b.apply(event.Event{Kind: event.Progress, Time: start.Add(time.Duration(s+1) * time.Second), Source: "s", Component: "c", Bytes: int64(s+1) * mib})
	}
	r := b.rows[0]
	if got := r.rate(start.Add(20 * time.Second)); got < 0.9*mib || got > 1.1*mib {
		t.Errorf("rate %v", got)
	}
	if got := r.rate(start.Add(120 * time.Second)); got > 0.15*mib {
		t.Errorf("rate after 100 s of silence: %v", got)
	}
	if len(r.past) > 13 {
		t.Errorf("%d samples kept", len(r.past))
	}
}

func TestFormats(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "0.98 KiB", 1024: "1.00 KiB", 1536: "1.50 KiB", 10 * mib: "10.0 MiB", 1023 * mib: "1.00 GiB",
		999 * mib: "999 MiB", 1 << 62: "4.00 EiB", -2048: "-2.00 KiB",
	} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-1: "0.0 s", 400 * time.Millisecond: "0.4 s", 99 * time.Second: "99.0 s", 125 * time.Second: "2m05s",
		time.Hour - time.Millisecond: "60m00s", 3720 * time.Second: "1h02m", 76 * time.Hour: "3d04h",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%s) = %q, want %q", d, got, want)
		}
	}
	for _, c := range []struct {
		read, fresh int64
		want        string
	}{{0, 0, ""}, {10, 0, "all known"}, {10, 4, "2.5x"}, {1000, 1, "1000x"}} {
		if got := Ratio(c.read, c.fresh); got != c.want {
			t.Errorf("Ratio(%d, %d) = %q, want %q", c.read, c.fresh, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable("name", "size", "state").AlignRight("size")
	table.Row("volume", "9 B", "good")
	table.Row("日本", "1.00 GiB", "né\u0301e\x1b[2J\n")
	table.Row("short")
	want := "" +
		"name        size  state\n" +
		"volume       9 B  good\n" +
		"日本    1.00 GiB  né\u0301e [2J\n" +
		"short\n"
	if diff := cmp.Diff(want, table.String()); diff != "" {
		t.Error(diff)
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		s     string
		cells int
		want  string
	}{{"abcdef", 6, "abcdef"}, {"abcdef", 4, "abc…"}, {"日本語", 4, "日…"}, {"abc", 0, ""}, {"abc", 1, "…"}} {
		if got := cut(c.s, c.cells); got != c.want || Width(got) > c.cells {
			t.Errorf("cut(%q, %d) = %q, want %q", c.s, c.cells, got, c.want)
		}
	}
}

package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/source"
)

// otherTime is this machine with a clock that is ahead, or behind, by whole seconds.
type otherTime struct {
	host.Local
	ahead string
}

func (o otherTime) Start(ctx context.Context, c host.Cmd) (*host.Process, error) {
	script := "date() { command date -d '" + o.ahead + " seconds' \"$@\"; }; " + c.Args[2]
	return o.Local.Start(ctx, host.Cmd{Args: []string{"sh", "-c", script}})
}

func TestClockIsReadAcrossTheWay(t *testing.T) {
	here := look(t.Context(), "here", host.Local{})
	if here.err != nil || here.ahead.Abs() > time.Second || here.machine == "" {
		t.Errorf("here: %+v", here)
	}
	for ahead, want := range map[string]time.Duration{"75": 75 * time.Second, "-10": -10 * time.Second} {
		v := look(t.Context(), "there", otherTime{ahead: ahead})
		if off := v.ahead - want; v.err != nil || off.Abs() > time.Second || v.machine != here.machine {
			t.Errorf("a clock %s s ahead is %+v", ahead, v)
		}
	}
}

func TestParseClock(t *testing.T) {
	for text, want := range map[string]time.Time{
		"1700000000.250000000": time.Unix(1700000000, 250_000_000),
		"1700000000.%N":        time.Unix(1700000000, 500_000_000), // a date that knows no fractions
		"1700000000":           time.Unix(1700000000, 500_000_000),
	} {
		if got, err := parseClock(text); err != nil || !got.Equal(want) {
			t.Errorf("%q is %s, %v; want %s", text, got, err, want)
		}
	}
	if _, err := parseClock("half past"); err == nil {
		t.Error("half past was read as a time")
	}
}

func TestClocksAreCompared(t *testing.T) {
	at := func(name string, ahead time.Duration) visit { return visit{name: name, ahead: ahead} }
	down, slow := visit{name: "down", err: errors.New("no route")}, visit{name: "slow", ahead: time.Hour, trip: 5 * time.Second}
	cases := []struct {
		name   string
		visits []visit
		want   source.Status
		detail string
	}{
		{"agree", []visit{at("here", 0), at("a", 100*time.Millisecond), at("b", -1800*time.Millisecond)}, source.OK, "those of 3 hosts differ by at most 1.90 s"},
		{"one is ahead", []visit{at("here", 0), at("a", 2100*time.Millisecond), at("b", 0)}, source.Warn, "a is 2.1 s ahead; "},
		{"one is far behind", []visit{at("here", 0), at("a", -time.Minute), at("b", 0)}, source.Fail, "a is 60.0 s behind; "},
		{"this host itself", []visit{at("here", 0), at("a", 5*time.Second), at("b", 5*time.Second)}, source.Warn, "here is 5.0 s behind; "},
		{"of two, the other", []visit{at("here", 0), at("a", -5*time.Second)}, source.Warn, "a is 5.0 s behind; "},
		{"both ways", []visit{at("here", 0), at("a", -1100*time.Millisecond), at("b", 1100*time.Millisecond)}, source.Warn, "a is 1.1 s behind, b is 1.1 s ahead; "},
		{"not all told", []visit{at("here", 0), at("a", 0), down, slow}, source.OK, "2 hosts did not tell theirs"},
		{"nobody told", []visit{at("here", 0), down}, source.Warn, "1 of 2 hosts told their time"},
	}
	for _, c := range cases {
		got := checkClocks(c.visits)
		if got.Status != c.want || !strings.Contains(got.Detail, c.detail) || (got.Mend == "") != (c.want == source.OK) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

package tier

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/problem"
)

func TestBackoff(t *testing.T) {
	b := Backoff{time.Hour, 6 * time.Hour}
	var got []time.Duration
	for n := 1; n <= 5; n++ {
		got = append(got, b.Wait(n)/time.Hour)
	}
	if want := []time.Duration{1, 2, 4, 6, 6}; !slices.Equal(got, want) {
		t.Errorf("hours %v, want %v", got, want)
	}
	if w := (Backoff{time.Hour, time.Minute}).Wait(3); w != time.Hour {
		t.Errorf("a most below the first wait gives %v", w)
	}
}

// TestAgain has one task fail twice while another is done at once, and a third that time does not mend.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var log []string
		note := func(what string) { log = append(log, what+" "+time.Since(began).String()) }
		away := problem.New(problem.Unreachable, "", "away")
		down := 2
		ends := Again(t.Context(), []Task{
			{Backoff{time.Hour, 8 * time.Hour}, func(context.Context) error {
				note("s3")
				if down--; down >= 0 {
					return away
				}
				return nil
			}, func(_ error, wait time.Duration) { note("failed") }},
			{Backoff{}, func(context.Context) error { note("disk"); return nil }, nil},
			{Backoff{}, func(context.Context) error { return problem.New(problem.Usage, "", "wrong") }, nil},
		})
		if ends[0] != nil || ends[1] != nil || problem.KindOf(ends[2]) != problem.Usage {
			t.Errorf("ends %v", ends)
		}
		if want := []string{"s3 0s", "failed 0s", "disk 0s", "s3 1h0m0s", "failed 1h0m0s", "s3 3h0m0s"}; !slices.Equal(log, want) {
			t.Errorf("%q, want %q", log, want)
		}
	})
}

func TestAgainIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
		defer cancel()
		n := 0
		ends := Again(ctx, []Task{{Backoff{time.Hour, time.Hour}, func(context.Context) error { n++; return errors.New("no") }, func(error, time.Duration) {}}})
		if n != 2 || !errors.Is(ends[0], context.DeadlineExceeded) {
			t.Errorf("%d tries, %v", n, ends)
		}
	})
}

// TestBudgetFollowsTheClock sends for two seconds at each side of a limit's end.
func TestBudgetFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now() // midnight in UTC
		limits := []config.Limit{{From: 23 * time.Hour, To: time.Second * 60, Rate: 1 << 20}}
		spend := budget(func() int64 { return config.RateAt(limits, time.Now().UTC()) })
		for range 60 {
			check(t, spend(t.Context(), 1<<20))
		}
		if took := time.Since(start); took < 58*time.Second || took > 61*time.Second {
			t.Errorf("60 MiB at 1 MiB/s took %v", took)
		}
		time.Sleep(2 * time.Second)
		free := time.Now()
		check(t, spend(t.Context(), 1<<30))
		if took := time.Since(free); took != 0 {
			t.Errorf("without a limit 1 GiB took %v", took)
		}
	})
}

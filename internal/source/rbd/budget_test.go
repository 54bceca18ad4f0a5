package rbd

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBudgetIsShared: two readers of one budget take as long as one that reads as much.
func TestBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1 << 20)
		began := time.Now()
		done := make(chan int64)
		for range 2 {
			go func() {
				n, _ := io.Copy(io.Discard, &metered{t.Context(), strings.NewReader(strings.Repeat("x", 5<<20)), b.spend})
				done <- n
			}()
		}
		if sum := <-done + <-done; sum != 10<<20 {
			t.Errorf("read %d bytes", sum)
		}
		if took := time.Since(began); took < 9900*time.Millisecond || took > 10100*time.Millisecond {
			t.Errorf("10 MiB at 1 MiB/s took %v", took)
		}
	})
}

// TestBudgetEndsWithItsContext: a run that is interrupted does not wait for its budget.
func TestBudgetEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := io.Copy(io.Discard, &metered{ctx, strings.NewReader(strings.Repeat("x", 1<<20)), newBudget(1).spend})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

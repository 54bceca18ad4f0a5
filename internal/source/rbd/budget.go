package rbd

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// budget bounds how much is read in a second, by all who share it. A nil limiter bounds nothing.
type budget struct{ limiter *rate.Limiter }

// atOneGo is the most that is asked of a budget at once, and so how far ahead of it a reader may be.
const atOneGo = 64 << 10

func newBudget(perSecond int64) budget {
	if perSecond == 0 {
		return budget{}
	}
	return budget{rate.NewLimiter(rate.Limit(perSecond), atOneGo)}
}

// spend waits until n more bytes are in the budget.
func (b budget) spend(ctx context.Context, n int) error {
	for b.limiter != nil && n > 0 {
		part := min(n, atOneGo)
		if err := b.limiter.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// metered has what it read spent. A reader that waits fills the pipe behind it, which makes rbd wait in turn.
type metered struct {
	ctx   context.Context
	r     io.Reader
	spend func(ctx context.Context, n int) error
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if werr := m.spend(m.ctx, n); werr != nil {
		return n, werr
	}
	return n, err
}

package vault

import (
	"context"
	"runtime"
	"sync"
)

// turns lets half as many writers compute at a time as there are cores, while others read the source and wait for the store.
// Each that computes takes two large buffers of kopia's for error correction, and kopia keeps one per core: any more are made and
// cleared for every piece, under a lock that all wait for.
type turns chan struct{}

func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)/2)) }

type turnKey struct{}

// take waits for a turn. The context that comes with it tells the store whose turn it is; end gives the turn to the next,
// unless that was done.
func (t turns) take(ctx context.Context) (_ context.Context, end func()) {
	t <- struct{}{}
	end = sync.OnceFunc(func() { <-t })
	return context.WithValue(ctx, turnKey{}, end), end
}

// endTurn ends the turn in which ctx is used, if it is used in one: what follows is waiting.
func endTurn(ctx context.Context) {
	if end, ok := ctx.Value(turnKey{}).(func()); ok {
		end()
	}
}

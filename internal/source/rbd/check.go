package rbd

import (
	"context"
	"fmt"
	"sync"

	"holdfast/internal/problem"
	"holdfast/internal/source"
)

var _ source.Checker = (*Source)(nil)

// Check implements source.Checker: whether samples of what did not change can be read, and servers be frozen.
func (s *Source) Check(ctx context.Context) []source.Check {
	checks := make([]source.Check, len(s.Clusters))
	var wg sync.WaitGroup
	for n := range s.Clusters {
		wg.Go(func() { checks[n] = s.checkSamples(ctx, &s.Clusters[n]) })
	}
	wg.Wait()
	return append(checks, s.checkFreeze(ctx)...)
}

func (s *Source) checkSamples(ctx context.Context, c *Cluster) source.Check {
	found := source.Check{Name: "samples of " + c.Name, Status: source.OK}
	if s.Sample <= 0 {
		found.Detail = "rbd.sample is 0: what did not change is not looked at between full comparisons"
		return found
	}
	if err := c.CanRanges(ctx); err != nil {
		found.Status, found.Mend = source.Warn, problem.HintOf(err)
		found.Detail = fmt.Sprintf("%v; every %dth run reads an image in full instead", err, blindRuns+1)
		return found
	}
	found.Detail = fmt.Sprintf("python3-rbd on %s reads %d pieces beside what has changed", c.On, s.Sample)
	return found
}

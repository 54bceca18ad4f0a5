package cli

import (
	"context"
	"fmt"

	"holdfast/internal/problem"
	"holdfast/internal/vault"
)

// compact has the indexes of a vault compacted after a run that wrote into it, if that is due: an index that is in many pieces
// is slow to open. The run has ended well or not by then, and this changes nothing of it.
func (a *app) compact(ctx context.Context, v *vault.Vault) {
	cycles, err := v.Cycles(ctx)
	if err == nil && !a.env.Now().Before(cycles.Quick.Add(vault.QuickEvery)) {
		_, err = v.Maintain(ctx, vault.MaintainOptions{})
	}
	if err != nil && problem.KindOf(err) != problem.Busy && ctx.Err() == nil {
		a.warn(fmt.Sprintf("the indexes of tier %s were not compacted, the next run tries it again: %v", v.Location().Tier, err))
	}
}

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/problem"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

func newUndeleteCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "undelete TIER",
		Short: "take back what somebody deleted in a tier's bucket",
		Long: "Looks in the bucket of TIER for blobs of its vault that were deleted otherwise than by Holdfast's own maintenance, and\n" +
			"which the bucket keeps because it keeps versions, and takes their deletion back; packs and indexes that something else was\n" +
			"written over hold again what they held. To look at the vault as it was before anything is changed, read it with --at TIME.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTier,
		Annotations:       ends(problem.Unreachable),
		RunE:              func(c *cobra.Command, args []string) error { return a.undelete(c.Context(), args[0]) },
	}
	a.yesFlag(c.Flags())
	return c
}

// undeleted is the result of undelete as --json tells it.
type undeleted struct {
	Tier  string     `json:"tier"`
	Blobs int        `json:"blobs"`
	First *time.Time `json:"first"` // deletion, null when there was none
	Last  *time.Time `json:"last"`
}

func (a *app) undelete(ctx context.Context, name string) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	t, err := tierNamed(cfg, name)
	if err != nil {
		return err
	}
	pass, err := a.passphrase(ctx, t, false)
	if err != nil {
		return err
	}
	if err := a.confirm(ctx, fmt.Sprintf("undelete would take back every deletion in %s that is not of Holdfast's own doing", t.URL)); err != nil {
		return err
	}
	back, err := vault.Undelete(ctx, a.location(t), pass, vault.OpenOptions{Cloud: cfg.Cloud, State: cfg.State})
	if err != nil {
		return err
	}
	out := undeleted{Tier: t.Name, Blobs: len(back)}
	out.First, out.Last = span(back)
	if a.json {
		return a.printJSON(out)
	}
	if out.Blobs == 0 {
		return a.printf("tier %s: nothing was deleted but by Holdfast itself\n", t.Name)
	}
	return a.printf("tier %s: %d blobs are back, deleted from %s to %s UTC\n\nChange the tier's keys, then run: holdfast verify latest --full --tier %s\n",
		t.Name, out.Blobs, out.First.Format(dateTime), out.Last.Format(dateTime), t.Name)
}

// span is when the first and the last of some blobs were deleted.
func span(all []vault.Kept) (first, last *time.Time) {
	for _, h := range all {
		at := h.At.UTC()
		if first == nil || at.Before(*first) {
			first = &at
		}
		if last == nil || at.After(*last) {
			last = &at
		}
	}
	return first, last
}

// checkDeleted is doctor's word on what somebody did in a bucket. V is nil when the vault does not open.
func (a *app) checkDeleted(ctx context.Context, t config.Tier, v *vault.Vault) source.Check {
	var found vault.Tampered
	var err error
	if v != nil {
		found, err = v.Tampered(ctx)
	} else {
		found.Deleted, err = vault.HiddenRoots(ctx, a.location(t))
	}
	all := found.All()
	switch {
	case len(all) == 0 && err != nil:
		return failed("deletions", err)
	case len(all) == 0:
		return passed("deletions", "none but by Holdfast itself")
	}
	first, last := span(all)
	return source.Check{
		Name: "deletions", Status: source.Fail,
		Detail: fmt.Sprintf("%v from %s to %s UTC, such as %s; the bucket keeps what was", found, first.Format(dateTime), last.Format(dateTime), some(all)),
		Mend: fmt.Sprintf("change the tier's keys; read what was with --tier %s --at %s; take it back with: holdfast undelete %s", t.Name,
			first.Add(-time.Second).Format(time.RFC3339), t.Name),
	}
}

func some(all []vault.Kept) string {
	var names []string
	for _, h := range all[:min(3, len(all))] {
		names = append(names, string(h.ID))
	}
	return strings.Join(names, ", ")
}

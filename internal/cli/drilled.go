package cli

import (
	"context"
	"fmt"
	"strings"

	"holdfast/internal/config"
	"holdfast/internal/drill"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

// drillsOf are the drills of a point that its vault keeps.
func drillsOf(ctx context.Context, v *vault.Vault, id string) ([]point.Drill, error) {
	all, err := v.Drills(ctx)
	if err != nil {
		return nil, err
	}
	var of []point.Drill
	for _, d := range all {
		if d.Point == id {
			of = append(of, d)
		}
	}
	return of, nil
}

// checkDrills removes what drills left that were killed, and tells of it.
func checkDrills(ctx context.Context, cfg *config.Config) source.Check {
	left, err := drill.Sweep(ctx, cfg.State)
	if err != nil {
		return failed("drills", err)
	}
	if len(left) == 0 {
		return passed("drills", "none was killed that left anything")
	}
	return source.Check{
		Name: "drills", Status: source.Warn, Detail: sweptDrills(left),
		Mend: "find out what killed it, then drill again: holdfast drill mariadb",
	}
}

// sweepDrills removes what drills left that were killed, where nobody asks: it is the database, readable.
func (a *app) sweepDrills(ctx context.Context, state string) {
	left, err := drill.Sweep(ctx, state)
	switch {
	case err != nil:
		a.warn(err.Error())
	case len(left) > 0:
		a.say(sweptDrills(left))
	}
}

func sweptDrills(left []string) string {
	return strings.Join(left, ", ") + " left by drills that were killed, and removed now"
}

// describeDrills tells in a line each how the drills of a point ended, and what was found.
func describeDrills(all []point.Drill) string {
	var b strings.Builder
	for _, d := range all {
		fmt.Fprintf(&b, "\ndrill %s from tier %s on %s: %s in %s", d.ID, d.Tier, d.Host, d.State, took(d.Seconds))
		if d.Reason != "" {
			fmt.Fprintf(&b, ": %s", d.Reason)
		}
		b.WriteString("\n")
		for _, p := range d.Parts {
			fmt.Fprintf(&b, "  %s: %s, %d of %d tables the same as in the dump\n", p.Component, p.State, p.Same, p.Tables)
			for _, f := range p.Findings {
				fmt.Fprintf(&b, "    WRONG: %s %s: %s\n", f.What, f.Name, f.Text)
			}
		}
	}
	return b.String()
}

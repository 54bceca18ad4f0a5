package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/kit"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/source"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "tell how well the cloud is protected",
		Long: "Tells for every component how old its newest good copy is, what the last run said of it, and what was verified when.\n" +
			"It ends with 1 when an image of an instant restore depends on Holdfast and nothing serves it.",
		Args:        cobra.NoArgs,
		Annotations: ends(problem.Unreachable),
		RunE:        func(c *cobra.Command, _ []string) error { return a.status(c.Context()) },
	}
}

// neverTried is the reason of what every run so far was told to leave out.
const neverTried = "never tried"

// protection is what is known of one component.
type protection struct {
	Source     string     `json:"source"`
	Component  string     `json:"component"`
	Point      string     `json:"point"` // newest with a good copy, "" when there is none
	At         *time.Time `json:"at"`
	AgeSeconds float64    `json:"age_seconds"`
	Verified   *time.Time `json:"verified"` // when that point was last found whole
	Damaged    bool       `json:"damaged"`  // that point was last found damaged
	Last       string     `json:"last"`     // state in the newest point that tried, "" when none did
	Reason     string     `json:"reason"`   // why it is not good there
}

// overview is the result of status.
type overview struct {
	Cloud      string       `json:"cloud"`
	Points     int          `json:"points"`
	Bytes      int64        `json:"vault_bytes"`
	Free       int64        `json:"vault_free"`
	Kit        string       `json:"kit"` // "" when confirmed, else what is wrong
	Components []protection `json:"components"`
	// Instant are the images of instant restores that cannot be used without Holdfast.
	Instant []depending `json:"instant_restores"`
	// Others counts the points of other clouds in the vault, by the cloud's name.
	Others map[string]int `json:"other_clouds"`
}

func (a *app) status(ctx context.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	instant, err := dependents(cfg)
	if err != nil {
		return err
	}
	a.warnDependents(instant) // before the vault, which may be out of reach
	return a.inVault(ctx, cfg, func(v *vault.Vault) error {
		points, err := v.Points(ctx)
		if err != nil {
			return err
		}
		stats, err := v.Stats(ctx)
		if err != nil {
			return err
		}
		o := overview{Cloud: cfg.Cloud, Points: len(points), Bytes: stats.Bytes, Free: stats.Free, Others: otherClouds(ctx, v), Instant: instant}
		if _, err := kit.Confirmed(cfg.Kit, cfg.State); err != nil {
			o.Kit = err.Error()
		}
		o.Components = append(protections(points, a.findings(cfg), a.env.Now()), unprotected(points, configured(cfg))...)
		return errors.Join(a.tellStatus(o), unserved(instant))
	})
}

// protections gathers, from the newest point to the oldest, what is known of each component.
func protections(points []point.Point, found verify.Findings, now time.Time) []protection {
	known := map[string]*protection{}
	planned := map[string]bool{} // sources that a newer point could list the components of
	for _, p := range slices.Backward(points) {
		for _, c := range p.Components {
			if c.Name == point.PlanName && planned[c.Source] {
				continue // that trouble is over
			}
			key := c.Source + " " + c.Name
			if known[key] == nil {
				known[key] = &protection{Source: c.Source, Component: c.Name}
			}
			known[key].add(p, c, found, now)
		}
		for _, c := range p.Components {
			planned[c.Source] = planned[c.Source] || c.Name != point.PlanName
		}
	}
	all := []protection{}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if x := known[key]; x.Last == "" {
			x.Reason = neverTried
		}
		all = append(all, *known[key])
	}
	return all
}

// add takes in what an older point says.
func (x *protection) add(p point.Point, c point.Component, found verify.Findings, now time.Time) {
	if x.Last == "" && !source.NotAsked(c) {
		x.Last = string(c.State)
		if c.State != point.Good {
			x.Reason = c.Reason
		}
	}
	if x.Point != "" || c.State != point.Good {
		return
	}
	at := c.Started
	if c.At != nil {
		at = *c.At
	}
	x.Point, x.At, x.AgeSeconds = p.ID, &at, now.Sub(at).Seconds()
	x.Verified, x.Damaged = found.Good(p.ID), found[p.ID].Damaged > 0
}

// unprotected are the configured sources that no point names.
func unprotected(points []point.Point, configured []string) []protection {
	var none []protection
	for _, name := range configured {
		named := func(p point.Point) bool { _, ok := p.Sources()[name]; return ok }
		if !slices.ContainsFunc(points, named) {
			none = append(none, protection{Source: name, Reason: neverTried})
		}
	}
	return none
}

func (a *app) tellStatus(o overview) error {
	if a.json {
		return a.printJSON(o)
	}
	if err := a.printf("cloud %s: %d points, %s in the vault, %s free\n", o.Cloud, o.Points, report.Size(o.Bytes), report.Size(o.Free)); err != nil {
		return err
	}
	if o.Kit != "" {
		a.warn(o.Kit)
	}
	if o.Points == 0 {
		a.warn("nothing is protected yet: holdfast backup takes the first point")
	}
	t := report.NewTable("COMPONENT", "NEWEST GOOD COPY", "AGE", "VERIFIED", "LAST RUN").AlignRight("AGE")
	for _, p := range o.Components {
		good, age, verified := "none", "", "never"
		if p.Point != "" {
			good, age = p.Point, report.Span(time.Duration(p.AgeSeconds*float64(time.Second)))
		}
		switch {
		case p.Damaged:
			verified = "DAMAGED"
		case p.Verified != nil:
			verified = p.Verified.UTC().Format(dateTime)
		}
		last := strings.Trim(p.Last+": "+p.Reason, ": ")
		t.Row(strings.TrimSpace(p.Source+" "+p.Component), good, age, verified, last)
	}
	return a.printf("%s", t)
}

package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/kit"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "status",
		Short:       "tell how well the cloud is protected",
		Long:        "Tells for every component how old its newest good copy is, what the last run said of it, and what was verified when.",
		Args:        cobra.NoArgs,
		Annotations: ends(problem.Unreachable),
		RunE:        func(c *cobra.Command, _ []string) error { return a.status(c.Context()) },
	}
}

// protection is what is known of one component.
type protection struct {
	Source     string     `json:"source"`
	Component  string     `json:"component"`
	Point      string     `json:"point"` // newest with a good copy, "" when there is none
	At         *time.Time `json:"at"`
	AgeSeconds float64    `json:"age_seconds"`
	Verified   *time.Time `json:"verified"` // when that point was verified last
	Last       string     `json:"last"`     // state in the newest point that tried
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
}

func (a *app) status(ctx context.Context) error {
	return a.withVault(ctx, func(cfg *config.Config, v *vault.Vault) error {
		points, err := v.Points(ctx)
		if err != nil {
			return err
		}
		stats, err := v.Stats(ctx)
		if err != nil {
			return err
		}
		o := overview{Cloud: cfg.Cloud, Points: len(points), Bytes: stats.Bytes, Free: stats.Free}
		if _, err := kit.Confirmed(cfg.Kit, cfg.State); err != nil {
			o.Kit = err.Error()
		}
		o.Components = protections(points, verify.Record{Dir: cfg.State}, a.env.Now())
		return a.tellStatus(o)
	})
}

// protections gathers, over all points, what is known of each component that any of the newest points names.
func protections(points []point.Point, record verify.Record, now time.Time) []protection {
	all := []protection{}
	index := map[string]int{}
	for _, p := range slices.Backward(points) {
		for _, c := range p.Components {
			key := c.Source + " " + c.Name
			i, known := index[key]
			if !known {
				i = len(all)
				index[key] = i
				all = append(all, protection{Source: c.Source, Component: c.Name, Last: string(c.State)})
				if c.State != point.Good {
					all[i].Reason = c.Reason
				}
			}
			if all[i].Point == "" && c.State == point.Good {
				at := c.Started
				if c.At != nil {
					at = *c.At
				}
				all[i].Point, all[i].At, all[i].AgeSeconds = p.ID, &at, now.Sub(at).Seconds()
				all[i].Verified = record.Last(p.ID)
			}
		}
	}
	slices.SortFunc(all, func(x, y protection) int {
		return slices.Compare([]string{x.Source, x.Component}, []string{y.Source, y.Component})
	})
	return all
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
	if len(o.Components) == 0 {
		a.warn("nothing is protected yet: holdfast backup takes the first point")
		return nil
	}
	t := report.NewTable("COMPONENT", "NEWEST GOOD COPY", "AGE", "VERIFIED", "LAST RUN").AlignRight("AGE")
	for _, p := range o.Components {
		good, age, verified := "none", "", "never"
		if p.Point != "" {
			good, age = p.Point, report.Span(time.Duration(p.AgeSeconds*float64(time.Second)))
		}
		if p.Verified != nil {
			verified = p.Verified.UTC().Format(dateTime)
		}
		last := p.Last
		if p.Reason != "" {
			last = fmt.Sprintf("%s: %s", p.Last, p.Reason)
		}
		t.Row(p.Source+" "+p.Component, good, age, verified, last)
	}
	return a.printf("%s", t)
}

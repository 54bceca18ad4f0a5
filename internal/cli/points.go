package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/vault"
)

const dateTime = "2006-01-02 15:04:05"

func newPointsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:         "points",
		Short:       "list the recovery points",
		Long:        "Lists the recovery points of the first tier, or of the one that --tier names, oldest first. Times are UTC.",
		Args:        noArgs,
		Annotations: ends(problem.Unreachable),
		RunE:        func(c *cobra.Command, _ []string) error { return a.points(c.Context()) },
	}
	a.tierFlag(c)
	c.AddCommand(newHoldCommand(a), newReleaseCommand(a))
	return c
}

// listed is a point as points --json tells it: without its components, but with counts.
type listed struct {
	point.Point
	Components *struct{}               `json:"components,omitempty"` // hides those of Point
	Sources    map[string]point.Counts `json:"sources"`
}

func (a *app) points(ctx context.Context) error {
	return a.withVault(ctx, func(cfg *config.Config, v *vault.Vault) error {
		points, err := v.Points(ctx)
		if err != nil {
			return err
		}
		found, why, locked := a.findings(cfg, a.tier), a.keepReasons(ctx, cfg, v, points), a.lockedUntil(ctx, v)
		for i := range points {
			points[i].Tiers = tiers(v, points[i], found, why, locked)
		}
		return a.tellPoints(points)
	})
}

func (a *app) tellPoints(points []point.Point) error {
	if a.json {
		all := []listed{}
		for _, p := range points {
			all = append(all, listed{Point: p, Sources: p.Sources()})
		}
		return a.printJSON(all)
	}
	if len(points) == 0 {
		a.warn("there are no points yet: holdfast backup takes one")
		return nil
	}
	if locked := points[0].Tiers[0].LockedUntil; locked != nil {
		if err := a.printf("locked until %s UTC\n\n", locked.Format(dateTime)); err != nil {
			return err
		}
	}
	t := report.NewTable("POINT", "STARTED", "TOOK", "STATE", "SOURCES", "VERIFIED", "").AlignRight("TOOK")
	for _, p := range points {
		t.Row(p.ID, p.Started.UTC().Format(dateTime), report.Span(p.Finished.Sub(p.Started)), string(p.State), sources(p), provenShort(p.Tiers), onHold(p))
	}
	return a.printf("%s", t)
}

// onHold tells in which tiers a point is on hold.
func onHold(p point.Point) string {
	for _, t := range p.Tiers {
		if strings.HasPrefix(t.KeepReason, holdReason) {
			return t.KeepReason
		}
	}
	return ""
}

// sources tells the counts of each source: "kolla 8/8  mariadb 2/3".
func sources(p point.Point) string {
	counts := p.Sources()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		n := counts[name]
		parts = append(parts, fmt.Sprintf("%s %d/%d", name, n.Good, n.Good+n.Partial+n.Failed+n.Skipped))
	}
	return strings.Join(parts, "  ")
}

func newShowCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "show POINT",
		Short: "show a recovery point: components, identities and proofs",
		Long: "Shows a recovery point. POINT is an id, a unique beginning of one, latest (the newest complete point) or\n" +
			"latest:SOURCE (the newest point in which that source is good).",
		Args:              cobra.ExactArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable),
		ValidArgsFunction: a.completePoint,
		RunE:              func(c *cobra.Command, args []string) error { return a.show(c.Context(), args[0]) },
	}
	a.tierFlag(c)
	return c
}

func (a *app) show(ctx context.Context, name string) error {
	return a.withPoint(ctx, name, func(_ *config.Config, v *vault.Vault, p point.Point) error {
		var err error
		if p.Drills, err = drillsOf(ctx, v, p.ID); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(p)
		}
		return a.printf("%s%s", describePoint(p), describeDrills(p.Drills))
	})
}

func describePoint(p point.Point) string {
	var b strings.Builder
	fmt.Fprintf(&b, "point    %s\ncloud    %s\nstate    %s\nstarted  %s UTC\ntook     %s\nskew     %s between the first and the last consistent moment\n\n",
		p.ID, p.Cloud, p.State, p.Started.UTC().Format(dateTime), report.Span(p.Finished.Sub(p.Started)),
		report.Span(time.Duration(p.SkewSeconds*float64(time.Second))))
	t := report.NewTable("COMPONENT", "KIND", "MODE", "STATE", "FROM", "READ", "NEW", "TIME").AlignRight("READ", "NEW", "TIME")
	for _, c := range p.Components {
		t.Row(c.Source+" "+c.Name, string(c.Kind), string(c.Mode), string(c.State), c.Host, report.Size(c.BytesRead), report.Size(c.BytesNew),
			report.Span(time.Duration(c.Seconds*float64(time.Second))))
	}
	b.WriteString(t.String())
	b.WriteString(describeServers(p.Servers()))
	for _, tier := range p.Tiers {
		fmt.Fprintf(&b, "\ntier %s holds it, %s%s; %s\n", tier.Tier, provenText(tier), locked(tier.LockedUntil), tier.KeepReason)
	}
	for _, c := range p.Components {
		describeComponent(&b, c)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "\nnote: %s", n)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// describeServers tells how the images of one server stand to each other.
func describeServers(all []point.Server) string {
	if len(all) == 0 {
		return ""
	}
	t := report.NewTable("SERVER", "NAME", "IMAGES", "CONSISTENCY", "SKEW").AlignRight("IMAGES", "SKEW")
	for _, s := range all {
		t.Row(s.ID, s.Name, strconv.Itoa(s.Images), s.Consistency, report.Span(time.Duration(s.SkewSeconds*float64(time.Second))))
	}
	return "\n" + t.String()
}

func locked(until *time.Time) string {
	if until == nil {
		return ""
	}
	return ", locked until " + until.UTC().Format(dateTime) + " UTC"
}

func describeComponent(b *strings.Builder, c point.Component) {
	fmt.Fprintf(b, "\n%s %s\n", c.Source, c.Name)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "  %-9s %s\n", name, value)
		}
	}
	line("why", c.Reason)
	if c.At != nil {
		line("as of", c.At.UTC().Format(dateTime)+" UTC")
	}
	line("identity", facts(c.Identity))
	line("proof", facts(c.Proof))
	for _, n := range c.Notes {
		line("note", n)
	}
}

// facts prints the plain values of an identity or a proof; show --json has all of them.
func facts(m map[string]any) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch v := m[k].(type) {
		case float64:
			parts = append(parts, k+"="+strconv.FormatFloat(v, 'f', -1, 64))
		case string, bool:
			parts = append(parts, fmt.Sprintf("%s=%v", k, v))
		}
	}
	return strings.Join(parts, " ")
}

// completePoint offers the points for completion in a shell.
func (a *app) completePoint(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	names := []string{"latest"}
	for _, s := range sourceNames {
		names = append(names, "latest:"+s)
	}
	_ = a.withVault(c.Context(), func(_ *config.Config, v *vault.Vault) error {
		points, err := v.Points(c.Context())
		for _, p := range slices.Backward(points) {
			names = append(names, p.ID+"\t"+string(p.State))
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

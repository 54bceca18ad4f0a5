package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/host"
	"holdfast/internal/kit"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/source"
	"holdfast/internal/vault"
)

func newDoctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "check everything that backups and restores need",
		Long: "Checks the vault, the kit, every host, every tool and every privilege, and says how to mend what is wrong. Nothing is\n" +
			"changed. It ends with 1 when a check failed; warnings alone end with 0.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context()) },
	}
}

// area is a part of the report, in its order.
type area struct {
	Area   string         `json:"area"`
	Checks []source.Check `json:"checks"`
}

func (a *app) doctor(ctx context.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	v, vaultArea := a.checkVault(ctx, cfg)
	if v != nil {
		defer v.Close(context.WithoutCancel(ctx))
	}
	areas := []area{{"setup", checkSetup(cfg)}, vaultArea, {"kit", a.checkKit(cfg)}}
	areas = append(areas, a.checkCloud(ctx, cfg, v)...)
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(a.tellDoctor(areas), judge(areas))
}

// failed makes an error a failed check.
func failed(name string, err error) source.Check {
	return source.Check{Name: name, Status: source.Fail, Detail: err.Error(), Mend: problem.HintOf(err)}
}

func passed(name, format string, args ...any) source.Check {
	return source.Check{Name: name, Status: source.OK, Detail: fmt.Sprintf(format, args...)}
}

func judge(areas []area) error {
	var wrong []string
	for _, ar := range areas {
		for _, c := range ar.Checks {
			if c.Status == source.Fail {
				wrong = append(wrong, ar.Area+" "+c.Name)
			}
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return problem.New(problem.Failed, "mend what the table names, then run holdfast doctor again", "%d checks failed: %s", len(wrong), strings.Join(wrong, ", "))
}

func (a *app) tellDoctor(areas []area) error {
	if a.json {
		return a.printJSON(areas)
	}
	t := report.NewTable("", "AREA", "CHECK", "FOUND")
	var mends []string
	for _, ar := range areas {
		for _, c := range ar.Checks {
			t.Row(string(c.Status), ar.Area, c.Name, c.Detail)
			if c.Status != source.OK && c.Mend != "" {
				mends = append(mends, fmt.Sprintf("%s %s: %s", ar.Area, c.Name, c.Mend))
			}
		}
	}
	if err := a.printf("%s", t); err != nil {
		return err
	}
	for _, m := range mends {
		if err := a.printf("\nto mend %s\n", m); err != nil {
			return err
		}
	}
	return nil
}

// checkVault looks at the first tier. The vault is nil when it does not open.
func (a *app) checkVault(ctx context.Context, cfg *config.Config) (*vault.Vault, area) {
	t := cfg.Tiers[0]
	v, err := a.openVault(ctx, cfg, t)
	if err != nil {
		return nil, area{"vault", []source.Check{failed(t.Name, err)}}
	}
	checks := []source.Check{passed(t.Name, "%s opens with its passphrase", t.URL), checkMode(v)}
	if stats, err := v.Stats(ctx); err != nil {
		checks = append(checks, failed("space", err))
	} else {
		checks = append(checks, checkSpace(t, stats))
	}
	return v, area{"vault", checks}
}

// checkCloud looks at this host's place and at what each source needs. V may be nil.
func (a *app) checkCloud(ctx context.Context, cfg *config.Config, v *vault.Vault) []area {
	c, err := a.loadCloud(ctx, cfg)
	if err != nil {
		return []area{{"cloud", []source.Check{failed("inventory", err)}}}
	}
	areas := []area{{"host", a.checkPlace(ctx, c)}}
	for _, name := range configured(cfg) {
		s, err := a.source(ctx, c, v, name)
		if err != nil {
			areas = append(areas, area{name, []source.Check{failed("setup", err)}})
			continue
		}
		if checker, ok := s.(source.Checker); ok {
			areas = append(areas, area{name, inArea(name, checker.Check(ctx))})
		}
	}
	return areas
}

// inArea shortens names that begin with the name of the area they are shown in.
func inArea(area string, checks []source.Check) []source.Check {
	for i := range checks {
		checks[i].Name = strings.TrimPrefix(checks[i].Name, area+" ")
	}
	return checks
}

func checkSpace(t config.Tier, s vault.Stats) source.Check {
	c := passed("space", "%s free of %s, the vault holds %s", report.Size(s.Free), report.Size(s.Capacity), report.Size(s.Bytes))
	if float64(s.Free) < t.Reserve*float64(s.Capacity) {
		c.Status = source.Warn
		c.Mend = fmt.Sprintf("free some space: less than the reserve of %.0f %% is left", t.Reserve*100)
	}
	return c
}

func checkMode(v *vault.Vault) source.Check {
	dir := v.Dir()
	st, err := os.Stat(dir)
	if err != nil {
		return failed("mode", err)
	}
	if st.Mode().Perm() != 0o700 {
		return source.Check{Name: "mode", Status: source.Fail, Detail: fmt.Sprintf("%s has mode %v", dir, st.Mode().Perm()), Mend: "chmod 700 " + dir}
	}
	return passed("mode", "%s belongs to its owner alone", dir)
}

func (a *app) checkKit(cfg *config.Config) []source.Check {
	when, err := kit.Confirmed(cfg.Kit, cfg.State)
	if err != nil {
		return []source.Check{{
			Name: "confirmed", Status: source.Warn, Detail: err.Error(),
			Mend: "store a copy of " + cfg.Kit + " outside the cloud, then run: holdfast kit confirm",
		}}
	}
	return []source.Check{passed("confirmed", "stored elsewhere since %s", when.UTC().Format(time.DateOnly))}
}

// checkPlace finds out whether this host is one of those that the vault must outlive.
func (a *app) checkPlace(ctx context.Context, c *cloud) []source.Check {
	own, err := machine(ctx, host.Local{})
	if err != nil {
		return []source.Check{failed("place", err)}
	}
	var same []string
	for _, h := range c.inv.Hosts {
		if !h.In("control", "network", "compute", "storage") {
			continue
		}
		where, err := h.Connect()
		if err != nil {
			continue // the hosts' own check tells
		}
		if id, err := machine(ctx, where); err == nil && id == own {
			same = append(same, h.Name)
		}
	}
	if len(same) > 0 {
		return []source.Check{{
			Name: "place", Status: source.Fail, Detail: "this host is " + strings.Join(same, ", ") + ", a node of the cloud that it backs up",
			Mend: "run Holdfast on a host that does not share the cloud's fate, or let the vault lie on one",
		}}
	}
	return []source.Check{passed("place", "this host is no node of the cloud")}
}

// machine is what tells one machine from another: its id and its name, since cloned machines share the former.
func machine(ctx context.Context, h host.Host) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	out, err := host.Output(ctx, h, host.Cmd{Args: []string{"sh", "-c", "cat /etc/machine-id 2>/dev/null; uname -n"}})
	return string(out), err
}

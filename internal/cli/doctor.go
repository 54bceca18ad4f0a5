package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/kit"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/source"
	"holdfast/internal/source/mariadb"
	"holdfast/internal/vault"
)

func newDoctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "check everything that backups and restores need",
		Long: "Checks the vault, the kit, every host and its clock, every tool and every privilege, and says how to mend what is\n" +
			"wrong. Nothing is changed; only what a drill left that was killed is removed. It ends with 1 when a check failed;\n" +
			"warnings alone end with 0.",
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
	described := sync.OnceValues(func() (*cloud, error) { return a.loadCloud(ctx, cfg) })
	vaultArea.Checks = append(vaultArea.Checks, checkServed(ctx, cfg, cfg.Tiers[0], described, a.env.Now())...)
	areas := []area{{"setup", append(checkSetup(cfg), checkDrills(ctx, cfg))}, vaultArea, {"kit", a.checkKit(cfg)}}
	areas = append(areas, a.checkTiers(ctx, cfg, v, described)...)
	areas = append(areas, a.checkCloud(ctx, cfg, v, described)...)
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
	checks := []source.Check{passed(t.Name, "%s opens with its passphrase", t.URL), checkMode(v), checkClouds(ctx, cfg, v)}
	if stats, err := v.Stats(ctx); err != nil {
		checks = append(checks, failed("space", err))
	} else {
		checks = append(checks, checkSpace(t, stats))
	}
	if n, err := v.Contents(ctx); err != nil {
		checks = append(checks, failed("contents", err))
	} else {
		checks = append(checks, checkContents(n))
	}
	if t.S3 != nil {
		checks = append(append(checks, a.checkLocks(ctx, t, v)...), a.checkDeleted(ctx, t, v))
	}
	return v, area{"vault", checks}
}

// checkCloud looks at this host's place and at what each source needs. V may be nil.
func (a *app) checkCloud(ctx context.Context, cfg *config.Config, v *vault.Vault, described func() (*cloud, error)) []area {
	from := setup{cfg: cfg, v: v, described: described}
	from.maps = clusterMaps(ctx, cfg, from.described)
	names := configured(cfg)
	var areas []area
	if len(cfg.Kolla.Inventory) > 0 {
		c, err := from.described()
		if err == nil {
			visits := visitAll(ctx, c.inv)
			areas = append(areas, area{"host", []source.Check{checkPlace(visits), checkClocks(visits)}})
		} else {
			areas = append(areas, area{"cloud", []source.Check{failed("inventory", err)}})
			names = slices.DeleteFunc(names, func(name string) bool { return !withoutInventory(name) })
		}
	}
	for _, name := range names {
		areas = append(areas, area{name, inArea(name, a.checkSource(ctx, from, name))})
	}
	return areas
}

// checkSource looks at what one source needs, and at what brings it back.
func (a *app) checkSource(ctx context.Context, from setup, name string) []source.Check {
	checks := []source.Check{}
	s, err := a.source(ctx, from, name)
	if err != nil {
		checks = append(checks, failed("setup", err))
	}
	if checker, ok := s.(source.Checker); ok {
		checks = append(checks, checker.Check(ctx)...)
	}
	if name != mariadb.SourceName {
		return checks
	}
	if c, err := from.described(); err == nil {
		checks = append(checks, c.checkControl(ctx)...)
	}
	return checks
}

// inArea shortens names that begin with the name of the area they are shown in.
func inArea(area string, checks []source.Check) []source.Check {
	for i := range checks {
		checks[i].Name = strings.TrimPrefix(checks[i].Name, area+" ")
	}
	return checks
}

func checkSpace(t config.Tier, s vault.Stats) source.Check {
	if s.Capacity == 0 {
		return passed("space", "the vault holds %s; its store does not tell how much is free", report.Size(s.Bytes))
	}
	c := passed("space", "%s free of %s, the vault holds %s", report.Size(s.Free), report.Size(s.Capacity), report.Size(s.Bytes))
	if float64(s.Free) < t.Reserve*float64(s.Capacity) {
		c.Status = source.Warn
		c.Mend = fmt.Sprintf("free some space: less than the reserve of %.0f %% is left", t.Reserve*100)
	}
	return c
}

// checkContents warns before a vault becomes too large for the memory that Holdfast may take.
func checkContents(n int64) source.Check {
	const warned = vault.MostContents * 7 / 10
	c := passed("contents", "about %.1f million of the %d million that a vault should hold", float64(n)/1e6, vault.MostContents/1_000_000)
	if n > warned {
		c.Status = source.Warn
		c.Mend = "cut the images of the largest pools into larger pieces: rbd: {pools: [{name: volumes, piece: 4MiB}]} counts from an image's next full copy; or give some pools a vault of their own"
	}
	return c
}

func checkMode(v *vault.Vault) source.Check {
	dir := v.Dir()
	if dir == "" {
		return passed("mode", "nothing of it lies on this host")
	}
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

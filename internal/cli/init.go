package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
	"holdfast/internal/vault"
)

// initOptions are what init may be told instead of finding it out.
type initOptions struct {
	cloud     string
	inventory []string
	kolla     string
	vault     string
	state     string
}

func newInitCommand(a *app) *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "write holdfast.yml, create the vaults and the recovery kit",
		Long: "Finds Kolla's inventory and configuration, writes a commented holdfast.yml unless there is one, creates the vaults of\n" +
			"the tiers that have none, and writes the recovery kit. Running it again changes nothing that is there: a tier that was\n" +
			"added to holdfast.yml gets its vault.",
		Args:        cobra.NoArgs,
		Annotations: ends(problem.Unreachable),
		RunE:        func(c *cobra.Command, _ []string) error { return a.init(c.Context(), o) },
	}
	a.yesFlag(c.Flags())
	c.Flags().StringVar(&o.cloud, "cloud", "", "`NAME` of the cloud; default: the internal name in Kolla's globals, else this host's")
	c.Flags().StringSliceVar(&o.inventory, "inventory", nil, "Kolla's inventory `FILE`; default: looked for where it usually is")
	c.Flags().StringVar(&o.kolla, "kolla-config", "/etc/kolla", "Kolla's configuration `DIR` on the deploy host")
	c.Flags().StringVar(&o.vault, "vault", "/var/backups/holdfast", "`DIR` of the local vault, on a disk that is not the cloud's")
	c.Flags().StringVar(&o.state, "state", config.DefaultState, "`DIR` of locks, caches and the recovery kit")
	return c
}

func (a *app) init(ctx context.Context, o initOptions) error {
	file := config.Find(a.file, a.env.Getenv)
	cfg, err := a.config()
	write := errors.Is(err, fs.ErrNotExist)
	if write {
		cfg, err = discover(ctx, o, file)
	}
	if err != nil {
		return err
	}
	if err := a.confirm(ctx, initPlan(file, write, cfg)); err != nil {
		return err
	}
	if write {
		if err := writeNew(file, config.Render(*cfg), 0o644); err != nil {
			return err
		}
	}
	for _, t := range cfg.Tiers {
		if err := a.ensurePassphrase(ctx, t); err != nil {
			return err
		}
	}
	if err := a.ensureVaults(ctx, cfg); err != nil {
		return err
	}
	return a.tellInit(file, cfg)
}

func initPlan(file string, write bool, cfg *config.Config) string {
	var b strings.Builder
	b.WriteString("init would:\n")
	if write {
		fmt.Fprintf(&b, "  write %s for cloud %s with inventory %s\n", file, cfg.Cloud, strings.Join(cfg.Kolla.Inventory, ", "))
	} else {
		fmt.Fprintf(&b, "  use %s as it is\n", file)
	}
	for _, t := range cfg.Tiers {
		if t.Passphrase.File != "" {
			fmt.Fprintf(&b, "  make a passphrase in %s, unless there is one\n", t.Passphrase.File)
		}
		fmt.Fprintf(&b, "  create the vault of tier %s at %s, unless there is one\n", t.Name, t.URL)
	}
	fmt.Fprintf(&b, "  write the recovery kit to %s\n", cfg.Kit)
	return b.String()
}

// usualInventories are where operators keep what they give to kolla-ansible -i.
var usualInventories = []string{"inventory", "multinode", "inventory/multinode", "all-in-one", "ansible/inventory/multinode"}

// discover makes a configuration, complete with its defaults, from what is found on this host.
func discover(ctx context.Context, o initOptions, file string) (*config.Config, error) {
	for _, path := range append([]*string{&file, &o.kolla, &o.vault, &o.state}, pointers(o.inventory)...) {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", *path, err)
		}
		*path = abs
	}
	if len(o.inventory) == 0 {
		found, err := findInventory(o.kolla)
		if err != nil {
			return nil, err
		}
		o.inventory = []string{found}
	}
	if o.cloud == "" {
		o.cloud = cloudName(ctx, o.kolla)
	}
	cfg, err := config.Parse(file, config.Render(config.Config{
		Cloud: o.cloud, State: o.state, Kit: filepath.Join(o.state, "kit"),
		Tiers: []config.Tier{{
			Name: "local", URL: config.FileURL(o.vault), Keep: config.Keep{Rules: config.Rules{Age: config.DefaultKeep}}, Reserve: config.DefaultReserve,
			Passphrase: secret.Ref{File: filepath.Join(filepath.Dir(file), "passphrase")},
		}},
		Kolla: config.Kolla{Inventory: o.inventory, Config: o.kolla, Tolerate: config.DefaultTolerate},
		MariaDB: &config.MariaDB{
			User: "backup", Password: secret.Ref{KollaKey: "mariadb_backup_database_password"},
			Run: "container", Container: config.DefaultContainer, Enter: "auto", Control: config.Control{Kind: "kolla"},
		},
	}))
	if err != nil {
		return nil, problem.New(problem.Usage, "give the name with --cloud", "what was found makes no configuration: %w", err)
	}
	return cfg, nil
}

func pointers(texts []string) []*string {
	var all []*string
	for i := range texts {
		all = append(all, &texts[i])
	}
	return all
}

func findInventory(kolla string) (string, error) {
	var dirs []string
	for _, d := range []string{kolla, ".", os.Getenv("HOME")} {
		if abs, err := filepath.Abs(d); err == nil {
			dirs = append(dirs, abs)
		}
	}
	for _, d := range dirs {
		for _, name := range usualInventories {
			file := filepath.Join(d, name)
			if st, err := os.Stat(file); err == nil && (st.Mode().IsRegular() || st.IsDir()) {
				return file, nil
			}
		}
	}
	return "", problem.New(problem.Usage, "give the file you give to kolla-ansible -i: holdfast init --inventory FILE",
		"no inventory was found in %s", strings.Join(dirs, ", "))
}

// cloudName is the internal name in Kolla's globals, else this host's name.
func cloudName(ctx context.Context, kolla string) string {
	if g, err := inventory.LoadGlobals(ctx, host.Local{}, kolla); err == nil {
		if name, ok := g.Value("kolla_internal_fqdn"); ok {
			return name
		}
	}
	if name, err := os.Hostname(); err == nil {
		return name
	}
	return "cloud"
}

// ensurePassphrase makes a passphrase where the configuration expects one in a file and there is none yet. A vault that
// exists has its own already, which a new one would only hide.
func (a *app) ensurePassphrase(ctx context.Context, t config.Tier) error {
	file := t.Passphrase.File
	if file == "" {
		return nil
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	exists, err := vault.Exists(ctx, a.location(t))
	if err != nil {
		return err
	}
	if exists {
		return problem.New(problem.Unreachable, "put "+t.Name+".passphrase of the recovery kit there, or give the tier another place",
			"there is a vault at %s and no passphrase in %s", t.URL, file)
	}
	return writeNew(file, []byte(rand.Text()+"-"+rand.Text()+"\n"), 0o600)
}

// writeNew writes a file that must not exist yet.
func writeNew(file string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return problem.Wrap(err, "write", file)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return problem.Wrap(err, "write", file)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return problem.Wrap(errors.Join(err, os.Remove(file)), "write", file)
	}
	return nil
}

// initialized is the result of init as --json tells it.
type initialized struct {
	Config string `json:"config"`
	Cloud  string `json:"cloud"`
	Tier   string `json:"tier"` // the first
	URL    string `json:"url"`
	Kit    string `json:"kit"`

	Tiers []madeTier `json:"tiers"`
}

// madeTier is a tier that has a vault.
type madeTier struct {
	Tier string `json:"tier"`
	URL  string `json:"url"`
}

func (a *app) tellInit(file string, cfg *config.Config) error {
	t := cfg.Tiers[0]
	if a.json {
		made := initialized{Config: file, Cloud: cfg.Cloud, Tier: t.Name, URL: t.URL, Kit: cfg.Kit}
		for _, t := range cfg.Tiers {
			made.Tiers = append(made.Tiers, madeTier{t.Name, t.URL})
		}
		return a.printJSON(made)
	}
	for _, t := range cfg.Tiers {
		if err := a.printf("vault of tier %s: %s\n", t.Name, t.URL); err != nil {
			return err
		}
	}
	return a.printf("recovery kit:  %s\n\nStore the kit outside the cloud, then run: holdfast kit confirm\n"+
		"Next: holdfast doctor, then holdfast backup\n", cfg.Kit)
}

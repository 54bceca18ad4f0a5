package cli

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/kit"
	"holdfast/internal/problem"
)

func newKitCommand(a *app) *cobra.Command {
	return group("kit", "the recovery kit: what opens the vaults when the cloud is gone", newKitWriteCommand(a), newKitConfirmCommand(a))
}

func newKitWriteCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "write",
		Short:       "write the recovery kit again",
		Args:        cobra.NoArgs,
		Annotations: ends(problem.Unreachable),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return a.kitWrite(c.Context(), cfg)
		},
	}
}

func (a *app) kitWrite(ctx context.Context, cfg *config.Config) error {
	tiers, err := a.openAll(ctx, cfg)
	if err != nil {
		return err
	}
	defer closeAll(ctx, tiers)
	if err := a.writeKit(ctx, cfg, tiers); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(keptKit{Kit: cfg.Kit})
	}
	return a.printf("recovery kit: %s\n", cfg.Kit)
}

// keptKit is the result of kit write and kit confirm.
type keptKit struct {
	Kit       string     `json:"kit"`
	Confirmed *time.Time `json:"confirmed"`
}

func newKitConfirmCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "say that the recovery kit is stored outside the cloud",
		Long:  "Records that a copy of the recovery kit, as it is now, is stored where the loss of this host and of the cloud does not reach.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			now := a.env.Now().UTC()
			if err := kit.Confirm(cfg.Kit, cfg.State, now); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(keptKit{cfg.Kit, &now})
			}
			return a.printf("noted: the kit in %s is stored elsewhere; the directory here may be removed\n", cfg.Kit)
		},
	}
}

// writeKit writes the kit of the tiers' vaults.
func (a *app) writeKit(ctx context.Context, cfg *config.Config, tiers []opened) error {
	k := kit.Kit{
		Cloud: cfg.Cloud, Written: a.env.Now().UTC(),
		Versions:    kit.Versions{Holdfast: VersionText(), Kopia: kopiaVersion()},
		Credentials: credentials(cfg),
	}
	for i, t := range tiers {
		for _, other := range tiers[i+1:] {
			a.exchangeFormats(ctx, t.v, other.v)
		}
		blobs, err := t.v.KitBlobs(ctx)
		if err != nil {
			return err
		}
		k.Tiers = append(k.Tiers, kit.Tier{Name: t.Name, URL: t.URL, Passphrase: t.pass, Blobs: blobs})
	}
	return kit.Write(cfg.Kit, k)
}

// credentials names what a restore needs beside the kit.
func credentials(cfg *config.Config) []string {
	var names []string
	if cfg.MariaDB != nil {
		names = append(names, fmt.Sprintf("password of database user %s (%s)", cfg.MariaDB.User, cfg.MariaDB.Password))
	}
	if !cfg.Kolla.VaultPassword.IsZero() {
		names = append(names, fmt.Sprintf("ansible-vault password (%s)", cfg.Kolla.VaultPassword))
	}
	return append(names, "the ssh keys that Ansible uses")
}

// kopiaVersion is the version of the repository's library, from the build.
func kopiaVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/kopia/kopia" {
				return m.Version
			}
		}
	}
	return "unknown"
}

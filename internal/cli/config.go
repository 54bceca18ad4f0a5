package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/problem"
)

func newConfigCommand(a *app) *cobra.Command {
	return group("config", "look at the configuration", newConfigCheckCommand(a), newConfigShowCommand(a), newConfigExampleCommand(a))
}

func newConfigExampleCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "print a holdfast.yml with every key there is",
		Long: "Prints a holdfast.yml to start from by hand, with every key there is; those that hold their default are comments.\n" +
			"init writes one that fits this host instead.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.printf("%s", config.Example()) },
	}
}

func newConfigShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "show holdfast.yml as it is read, with every default",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return a.configShow() },
	}
}

// shownConfig is the result of config show.
type shownConfig struct {
	File   string `json:"file"`
	State  string `json:"state"`
	Socket string `json:"socket"` // where commands speak to the daemon
	Text   string `json:"text"`
}

func (a *app) configShow() error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	text := string(config.Render(*cfg))
	if a.json {
		return a.printJSON(shownConfig{cfg.File, cfg.State, cfg.Socket(), text})
	}
	return a.printf("# %s; the daemon's socket is %s\n%s", cfg.File, cfg.Socket(), text)
}

func newConfigCheckCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "check holdfast.yml and list every error",
		Long: "Checks holdfast.yml and lists every error at once, each with its line, column and a hint.\n" +
			"Nothing is opened or connected to: doctor does that.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.configCheck() },
	}
}

// checked is the result of config check.
type checked struct {
	File   string         `json:"file"`
	OK     bool           `json:"ok"`
	Errors []config.Fault `json:"errors"`
}

func (a *app) configCheck() error {
	file := config.Find(a.file, a.env.Getenv)
	cfg, err := config.Load(file)
	var faults *config.Errors
	switch {
	case a.json && errors.As(err, &faults):
		return errors.Join(a.printJSON(checked{file, false, faults.Faults}), quietly(problem.Usage))
	case err != nil:
		return err
	case a.json:
		return a.printJSON(checked{file, true, []config.Fault{}})
	}
	a.warnTyped(cfg)
	return a.printf("%s: ok\n", file)
}

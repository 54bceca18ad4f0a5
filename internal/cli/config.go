package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/problem"
)

func newConfigCommand(a *app) *cobra.Command {
	return group("config", "look at the configuration", newConfigCheckCommand(a))
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
	_, err := config.Load(file)
	var faults *config.Errors
	switch {
	case a.json && errors.As(err, &faults):
		return errors.Join(a.printJSON(checked{file, false, faults.Faults}), quietly(problem.Usage))
	case err != nil:
		return err
	case a.json:
		return a.printJSON(checked{file, true, []config.Fault{}})
	}
	return a.printf("%s: ok\n", file)
}

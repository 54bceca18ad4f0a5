// Package cli is the command line: one file per command, each an options struct and a run method that takes what it
// needs from app. Data goes to stdout, talk and progress to stderr, and every error ends in one place, where its kind
// decides the exit code.
package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/internal/problem"
	"holdfast/internal/suggest"
)

// commands lists every command there is.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		newInitCommand(a),
		newDoctorCommand(a),
		newBackupCommand(a),
		newPointsCommand(a),
		newShowCommand(a),
		newVerifyCommand(a),
		newPruneCommand(a),
		newReplicateCommand(a),
		newUndeleteCommand(a),
		newRestoreCommand(a),
		newDrillCommand(a),
		newSnapshotsCommand(a),
		newStatusCommand(a),
		newNotifyCommand(a),
		newServeCommand(a),
		newRunCommand(a),
		newQueueCommand(a),
		newKitCommand(a),
		newConfigCommand(a),
		newVersionCommand(a),
		newManCommand(a),
	}
}

// Main runs one command line, without the program's name, and returns its exit code. Cancelling ctx stops the command,
// which is then told to the operator as an interruption.
func Main(ctx context.Context, args []string, env Env) int {
	a := &app{env: env}
	stop := context.AfterFunc(ctx, func() { a.say("interrupted, cleaning up; once more stops at once") })
	defer stop()
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.json = a.json || asksJSON(args) // a flag that cannot be parsed keeps those behind it from being read
	return a.fail(ctx, err)
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "back up an OpenStack cloud on Ceph, and bring it back",
		Long: "Holdfast backs up an OpenStack cloud that was deployed with Kolla-Ansible, and brings it back.\n" +
			"Every command reads holdfast.yml: -c FILE, else $HOLDFAST_CONFIG, else /etc/holdfast/holdfast.yml.",
		Args:              cobra.ArbitraryArgs,
		RunE:              needsCommand,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetIn(a.env.Stdin)
	root.SetOut(a.env.Stdout)
	root.SetErr(a.env.Stderr)
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringVarP(&a.file, "config", "c", "", "read this holdfast.yml `FILE`")
	flags.BoolVar(&a.json, "json", false, "print JSON: the result on stdout, events and errors as lines on stderr")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "show no progress")
	flags.BoolVar(&a.noColor, "no-color", false, "use no colour")
	root.MarkPersistentFlagFilename("config", "yml", "yaml")
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetHelpCommand(newHelpCommand())
	root.AddCommand(a.commands()...)
	addCompletion(root)
	each(root, asUsage)
	tellExits(root)
	return root
}

func each(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, child := range c.Commands() {
		each(child, do)
	}
}

// asUsage makes wrong arguments and absent flags of c a usage problem.
func asUsage(c *cobra.Command) {
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if err := errors.Join(check(c, args), c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil {
			return problem.New(problem.Usage, "usage: "+c.UseLine(), "%w", err)
		}
		return nil
	}
}

// needsCommand ends a command that only groups others: without arguments with its usage, else with what was
// probably meant.
func needsCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return problem.New(problem.Usage, "see "+c.CommandPath()+" --help", "%s needs a command", c.CommandPath())
	}
	return unknownCommand(c, args[0])
}

func unknownCommand(c *cobra.Command, name string) error {
	var names []string
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() {
			names = append(names, child.Name())
		}
	}
	hint := suggest.Hint(name, names, "see "+c.CommandPath()+" --help")
	return problem.New(problem.Usage, hint, "unknown command %q", c.CommandPath()+" "+name)
}

// addCompletion adds the library's completion command, worded as the others are, for the shells that Linux has.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	each(completion, func(c *cobra.Command) {
		c.Short = strings.ToLower(c.Short[:1]) + c.Short[1:]
		if c.Name() == "powershell" {
			completion.RemoveCommand(c)
		}
	})
}

// noArgs refuses arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

// group makes a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: needsCommand}
	c.AddCommand(children...)
	return c
}

func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "tell what a command does",
		RunE: func(c *cobra.Command, args []string) error {
			target, rest, err := c.Root().Find(args)
			if err != nil {
				return unknownCommand(c.Root(), args[0])
			}
			if len(rest) > 0 {
				return unknownCommand(target, rest[0])
			}
			return target.Help()
		},
	}
}

func flagError(c *cobra.Command, err error) error {
	hint := "see " + c.CommandPath() + " --help"
	if unknown, ok := errorsAs[*pflag.NotExistError](err); ok && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := suggest.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			hint = "did you mean --" + near + "?"
		}
	}
	return problem.New(problem.Usage, hint, "%w", err)
}

func asksJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}

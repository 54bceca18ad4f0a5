package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/restore"
	"holdfast/internal/vault"
)

func newRestoreResumeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "resume [ID]",
		Short: "go on with an instant restore that was cut off",
		Long: "Serves the image of an instant restore at the same address again, so that it can be used again at once, and brings the\n" +
			"restore to its end. ID is told by holdfast status, and needed where several are on their way.",
		Args:              cobra.MaximumNArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Busy, problem.Damage),
		ValidArgsFunction: a.completeDependent,
		RunE: func(c *cobra.Command, args []string) error {
			a.yes = true // it was, when the restore began
			d, err := a.dependent(args)
			if err != nil {
				return err
			}
			return a.restore(c.Context(), d.Point, restoreOptions{}, a.resumed(c.Context(), d))
		},
	}
}

func newRestoreAbortCommand(a *app) *cobra.Command {
	var discard bool
	c := &cobra.Command{
		Use:   "abort ID --discard-writes",
		Short: "give an instant restore up, and remove its image",
		Long: "Removes the image of an instant restore that has not ended. Everything that was written to it since it became usable is\n" +
			"lost with it, which --discard-writes accepts.",
		Args:              cobra.ExactArgs(1),
		Annotations:       ends(problem.NotFound, problem.Unreachable, problem.Busy, problem.Damage),
		ValidArgsFunction: a.completeDependent,
		RunE:              func(c *cobra.Command, args []string) error { return a.abortRestore(c.Context(), args, discard) },
	}
	c.Flags().BoolVar(&discard, "discard-writes", false, "lose what was written to the image")
	return c
}

// dependent finds the instant restore that is meant.
func (a *app) dependent(args []string) (restore.Dependent, error) {
	cfg, err := a.config()
	if err != nil {
		return restore.Dependent{}, err
	}
	all, err := restore.Dependents(cfg.State)
	if err != nil {
		return restore.Dependent{}, err
	}
	return restore.SelectDependent(all, append(args, "")[0])
}

// resumed plans to go on with an instant restore.
func (a *app) resumed(ctx context.Context, d restore.Dependent) func(*config.Config, *vault.Vault, point.Point, *restore.Restorer) (restoring, error) {
	return func(cfg *config.Config, _ *vault.Vault, p point.Point, r *restore.Restorer) (restoring, error) {
		on, err := a.clusterOf(ctx, cfg, d.Component)
		if err != nil {
			return nil, err
		}
		return r.Resume(ctx, p, d, on)
	}
}

// aborting turns a resumed restore around.
type aborting struct{ *restore.Instant }

// Execute implements restoring.
func (i aborting) Execute(ctx context.Context) error { return i.Abort(ctx) }

func (a *app) abortRestore(ctx context.Context, args []string, discard bool) error {
	d, err := a.dependent(args)
	if err != nil {
		return err
	}
	if err := d.CheckAbort(discard, a.env.Now()); err != nil {
		return err
	}
	a.yes = true // that is what --discard-writes says
	return a.restore(ctx, d.Point, restoreOptions{}, func(cfg *config.Config, v *vault.Vault, p point.Point, r *restore.Restorer) (restoring, error) {
		on, err := a.clusterOf(ctx, cfg, d.Component)
		if err != nil {
			return nil, err
		}
		i, err := r.Aborting(ctx, p, d, on)
		return aborting{i}, err
	})
}

// dependents are the images that need Holdfast.
func dependents(cfg *config.Config) ([]coverage.Dependent, error) {
	found, err := restore.Dependents(cfg.State)
	all := []coverage.Dependent{}
	for _, d := range found {
		all = append(all, coverage.Dependent{ID: d.ID, Target: d.Target, Point: d.Point, Stage: string(d.Stage), Since: d.Since, Served: d.Held(), ToResume: d.ResumeCommand()})
	}
	return all, err
}

// warnDependents tells of images that need Holdfast.
func (a *app) warnDependents(all []coverage.Dependent) {
	for _, d := range all {
		a.warn(describe(d, a.env.Now()))
	}
}

// warnUnserved tells of images that nothing serves; their pools cannot be listed.
func (a *app) warnUnserved(cfg *config.Config) {
	all, err := dependents(cfg)
	if err != nil {
		a.warn(err.Error())
	}
	a.warnDependents(slices.DeleteFunc(all, func(d coverage.Dependent) bool { return d.Served }))
}

// depended is the error of images that need Holdfast: of those that nobody can read until their restores go on, else of all.
func depended(all []coverage.Dependent) error {
	var served, unserved, resume []string
	for _, d := range all {
		if d.Served {
			served = append(served, d.Target)
		} else {
			unserved, resume = append(unserved, d.Target), append(resume, d.ToResume)
		}
	}
	switch {
	case len(unserved) > 0:
		return problem.New(problem.Failed, "run: "+strings.Join(resume, "; "), "nothing serves %s, which cannot be read", strings.Join(unserved, ", "))
	case len(served) > 0:
		return problem.New(problem.Failed, "leave this host and the restore running", "%s can be read only as long as this host serves it", strings.Join(served, ", "))
	}
	return nil
}

// describe says what an operator must know of an image that needs Holdfast.
func describe(d coverage.Dependent, now time.Time) string {
	since := ""
	if d.Since != nil {
		since = " for " + report.Span(now.Sub(*d.Since))
	}
	if d.Served {
		return fmt.Sprintf("%s depends on Holdfast%s: its instant restore is on its way, and must not be stopped", d.Target, since)
	}
	return fmt.Sprintf("%s depends on Holdfast%s and NOTHING SERVES IT: it cannot be read until you run: %s", d.Target, since, d.ToResume)
}

// completeDependent offers the instant restores that are on their way.
func (a *app) completeDependent(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.config()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, _ := dependents(cfg)
	var names []string
	for _, d := range all {
		names = append(names, d.ID+"\t"+d.Target)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

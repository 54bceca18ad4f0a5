package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/durable"
	"holdfast/internal/job"
	"holdfast/internal/problem"
	"holdfast/internal/serve"
)

func newServeCommand(a *app) *cobra.Command {
	var speed float64
	c := &cobra.Command{
		Use:   "serve",
		Short: "keep the schedule",
		Long: "Does the jobs of the schedule, one at a time at each source and tier, tries again what failed, and lets commands that are\n" +
			"typed meanwhile wait for their turn. Each step is a command of its own, so that an upgrade takes effect with the next.\n" +
			"SIGHUP reads holdfast.yml anew; one that is broken changes nothing. SIGTERM stops what runs, and the next start goes on\n" +
			"with it. holdfast queue shows what goes on. Instant restores that were cut off are gone on with at once.",
		Args:        cobra.NoArgs,
		Annotations: ends(problem.Busy),
		RunE:        func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), speed) },
	}
	c.Flags().Float64Var(&speed, "speed", 1, "keep a clock that runs so much faster, to see a day of the schedule in minutes")
	_ = c.Flags().MarkHidden("speed") // it is there
	return c
}

// daemonMemory, in bytes, is what the daemon's own heap may have before the collector works harder.
const daemonMemory = 96 << 20

func (a *app) serve(ctx context.Context, speed float64) error {
	if speed != 1 {
		a.env.Now = faster(a.env.Now, speed)
	}
	if a.env.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(daemonMemory)
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	dir := serveDir(cfg)
	lock, err := serve.Lock(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	steps := a.runner(cfg)
	steps.Env = []string{job.EnvConfig + "=" + taken(cfg)}
	notify, watchdog := serve.Notifier(a.env.Getenv)
	d, err := serve.New(dir, serve.Options{
		Load: (&audience{app: a, ctx: ctx}).setup, Runner: commands{a, steps, cfg.State}, Now: a.env.Now, Say: a.say, Notify: notify, Watchdog: watchdog, Speed: speed,
	})
	if err != nil {
		return err
	}
	l, err := serve.Listen(cfg.Socket())
	if err != nil {
		return err
	}
	defer os.Remove(cfg.Socket())
	a.warnTyped(cfg)
	ctx, cancel := context.WithCancel(ctx)
	resumed := a.resumeInstant(ctx, cfg, steps)
	defer resumed()
	defer cancel()
	go a.sweepDrills(ctx, cfg.State) // which may take its time
	return a.keep(ctx, d, l, notify)
}

// faster is a clock that begins now and runs so much faster.
func faster(now func() time.Time, speed float64) func() time.Time {
	began := now()
	return func() time.Time { return began.Add(time.Duration(float64(now().Sub(began)) * speed)) }
}

// keep serves until ctx ends.
func (a *app) keep(ctx context.Context, d *serve.Daemon, l net.Listener, notify func(string)) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if err := d.Serve(ctx, l); err != nil {
			cancel(fmt.Errorf("answer commands: %w", err))
		}
	}()
	go func() {
		for range hup {
			d.Reload()
		}
	}()
	a.say("the daemon keeps the schedule")
	notify("READY=1\nSTATUS=keeps the schedule")
	d.Work(ctx)
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	a.say("the daemon has ended")
	return nil
}

// serveDir is where the daemon remembers what it does.
func serveDir(cfg *config.Config) string { return filepath.Join(cfg.State, "serve") }

// daemonConfig reads the configuration, and its text, which is what the steps are given: what is taken over is what was checked.
func (a *app) daemonConfig() (*config.Config, []byte, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	data, err := os.ReadFile(cfg.File)
	if err == nil {
		cfg, err = config.Parse(cfg.File, data)
	}
	return cfg, data, err
}

// taken is the configuration that steps read.
func taken(cfg *config.Config) string { return filepath.Join(serveDir(cfg), "holdfast.yml") }

// commit keeps the text of a configuration for the steps. Where there is no room for it they read the file itself.
func (a *app) commit(cfg *config.Config, data []byte) error {
	err := durable.WriteFile(taken(cfg), data, 0o600)
	if err == nil {
		return nil
	}
	a.warn("the configuration cannot be kept for the steps, they read it as it stands: " + err.Error())
	if err := os.Remove(taken(cfg)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// warnTyped tells of passphrases that nobody is there to type.
func (a *app) warnTyped(cfg *config.Config) {
	for _, t := range cfg.Tiers {
		if t.Passphrase.IsZero() {
			a.warn("tier " + t.Name + " has no passphrase: in holdfast.yml, and nobody is there to type it for the schedule; give it {file: …} or {command: …}")
		}
	}
}

// stepGrace is how long a step has to clean up when it is stopped.
const stepGrace = 45 * time.Second

// runner runs steps by this program, with the same configuration.
func (a *app) runner(cfg *config.Config) job.Runner {
	return job.Runner{
		Args: []string{"-c", cfg.File}, Grace: stepGrace, Now: a.env.Now,
		Kind: func(exit int) string {
			for _, e := range exits {
				if e.code == exit {
					return e.name
				}
			}
			_, name := exitCode(problem.Failed)
			return name
		},
	}
}

// commands does the daemon's work.
type commands struct {
	app    *app
	runner job.Runner
	state  string // the state directory
}

func (c commands) Step(ctx context.Context, r serve.Run, s job.Step, w job.Watch) job.Result {
	runner := c.runner
	runner.Env = append(slices.Clone(runner.Env), job.EnvRun+"="+r.ID, job.EnvJob+"="+r.Job)
	c.app.say(fmt.Sprintf("run %s: holdfast %s", r.ID, strings.Join(s.Args, " ")))
	res := runner.Run(ctx, s, nil, w)
	if s.Verb() == "drill" && !res.Good() { // one that was killed left what it had restored
		c.sweep(ctx)
	}
	return res
}

// longestSweep is how long removing what a drill left may take, after which the next start of the daemon does it.
const longestSweep = 30 * time.Second

// sweep removes what a drill left, also of one that was stopped.
func (c commands) sweep(ctx context.Context) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), longestSweep)
	defer done()
	c.app.sweepDrills(ctx, c.state)
}

func (c commands) Overview(ctx context.Context) (*coverage.Overview, error) {
	runner := c.runner
	runner.Env = append(slices.Clone(runner.Env), job.EnvRun+"=status")
	return overviewBy(ctx, runner)
}

// overviewBy asks a process of its own what is protected. That promises are broken is no failure of the asking.
func overviewBy(ctx context.Context, runner job.Runner) (*coverage.Overview, error) {
	var printed bytes.Buffer
	res := runner.Run(ctx, job.Step{Args: []string{"status"}}, &printed, job.Watch{})
	o := &coverage.Overview{}
	if err := json.Unmarshal(printed.Bytes(), o); err != nil {
		return nil, fmt.Errorf("holdfast status ended with %d: %s", res.Exit, res.Error)
	}
	return o, nil
}

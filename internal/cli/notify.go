package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/notify"
	"holdfast/internal/problem"
	"holdfast/internal/report"
)

func newNotifyCommand(a *app) *cobra.Command {
	return group("notify", "look at how people are told", newNotifyTestCommand(a), newNotifyStatusCommand(a))
}

func newNotifyTestCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "send a message by every way, and tell what came of it",
		Long: "Sends a test message to every recipient, to the webhook and to the dead man's switch of notify: in holdfast.yml, at once and\n" +
			"past the outbox, and tells which of them took it.",
		Args:        noArgs,
		Annotations: ends(problem.Failed),
		RunE:        func(c *cobra.Command, _ []string) error { return a.notifyTest(c.Context()) },
	}
}

func newNotifyStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "status",
		Short:       "tell what is still to be sent, and why it is not",
		Long:        "Tells for every way of notify: in holdfast.yml how much waits to be sent, when it last worked, and why it does not now.",
		Args:        noArgs,
		Annotations: ends(problem.Failed),
		RunE:        func(*cobra.Command, []string) error { return a.notifyStatus() },
	}
}

// tells reads the configuration and refuses one that tells nobody.
func (a *app) tells() (*config.Config, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	if n := cfg.Notify; n.Mail == nil && n.Webhook == nil && n.Ping == nil {
		return nil, problem.New(problem.Usage, "add notify: with mail, webhook or ping to holdfast.yml", "nobody is told of anything")
	}
	return cfg, nil
}

func (a *app) notifyTest(ctx context.Context) error {
	cfg, err := a.tells()
	if err != nil {
		return err
	}
	all := notify.New(cfg, a.env.Now, a.warn).Test(ctx)
	bad := 0
	t := report.NewTable("WAY", "TIME", "WHAT CAME OF IT").AlignRight("TIME")
	for _, x := range all {
		said := "taken"
		if x.Error != "" {
			bad++
			said = "failed: " + x.Error + " (" + x.Hint + ")"
		}
		t.Row(x.Way, report.Span(x.Took), said)
	}
	if a.json {
		err = a.printJSON(all)
	} else {
		err = a.printf("%s", t)
	}
	if bad > 0 {
		err = errors.Join(err, quietly(problem.Failed))
	}
	return err
}

func (a *app) notifyStatus() error {
	cfg, err := a.tells()
	if err != nil {
		return err
	}
	all, err := notify.Look(notify.Dir(cfg.State))
	if err != nil {
		return err
	}
	bad := false
	t := report.NewTable("WAY", "WAITING", "SENT", "LAST SENT", "STATE").AlignRight("WAITING", "SENT")
	for _, s := range all {
		last, state := "never", "works"
		if !s.Sent.IsZero() {
			last = s.Sent.UTC().Format(time.DateTime)
		}
		if s.Error != "" {
			bad, state = true, notifyTrouble(s)
		}
		t.Row(s.Way, fmt.Sprint(s.Pending), fmt.Sprint(s.Delivered), last, state)
	}
	if a.json {
		err = a.printJSON(all)
	} else {
		err = a.printf("%s", t)
	}
	if bad {
		err = errors.Join(err, quietly(problem.Failed))
	}
	return err
}

func notifyTrouble(s notify.Status) string {
	return fmt.Sprintf("failing since %s: %s", s.Since.UTC().Format(time.DateTime), s.Error)
}

// warnUntold says that people are not told what they should be.
func (a *app) warnUntold(cfg *config.Config) {
	all, err := notify.Look(notify.Dir(cfg.State))
	if err != nil {
		a.warn(fmt.Sprintf("what is to be told is not known: %v", err))
	}
	for _, s := range all {
		if s.Error != "" {
			a.warn(fmt.Sprintf("%s is %s; %d news wait: holdfast notify test tries it", s.Way, notifyTrouble(s), s.Pending))
		}
	}
}

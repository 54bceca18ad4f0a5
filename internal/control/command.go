package control

import (
	"context"
	"fmt"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// Command drives nodes by commands that sh runs on the node's machine.
type Command struct {
	StopCommand, StartCommand, BootstrapCommand string
}

var _ Control = Command{}

// Describe names the commands' origin.
func (Command) Describe() string { return "the commands of mariadb.control in holdfast.yml" }

// Stop runs the stop command.
func (c Command) Stop(ctx context.Context, n Node) error { return run(ctx, n, "stop", c.StopCommand) }

// Bootstrap runs the bootstrap command.
func (c Command) Bootstrap(ctx context.Context, n Node) error {
	return run(ctx, n, "bootstrap", c.BootstrapCommand)
}

// Join runs the start command.
func (c Command) Join(ctx context.Context, n Node) error {
	return run(ctx, n, "start", c.StartCommand)
}

func run(ctx context.Context, n Node, what, command string) error {
	if command == "" {
		return problem.New(problem.Usage, "write it to mariadb.control in holdfast.yml", "there is no %s command for database nodes", what)
	}
	if err := host.Run(ctx, n.Machine, host.Cmd{Args: []string{"sh", "-c", command}}); err != nil {
		return fmt.Errorf("%s the database on %s: %w", what, n.Name, err)
	}
	return nil
}

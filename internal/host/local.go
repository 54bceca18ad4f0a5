package host

import "context"

// Local is this machine.
type Local struct{}

var _ place = Local{}

// String returns "local".
func (Local) String() string { return "local" }

// Start implements Host.
func (l Local) Start(ctx context.Context, c Cmd) (*Process, error) { return start(ctx, l, c) }

func (Local) command(args []string, _ bool) ([]string, error) { return args, nil }

func (Local) diagnose(int, string) error { return nil }

func (Local) inherits() bool { return true }

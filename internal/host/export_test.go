package host

import "context"

// TransportPID is the process that carries p on this machine.
func (p *Process) TransportPID() int { return p.cmd.Process.Pid }

// Remote is this machine reached as one is whose transport passes no descriptors on.
type Remote struct{ Local }

// Start implements Host.
func (r Remote) Start(ctx context.Context, c Cmd) (*Process, error) { return start(ctx, r, c) }

func (Remote) inherits() bool { return false }

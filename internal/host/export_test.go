package host

// TransportPID is the process that carries p on this machine.
func (p *Process) TransportPID() int { return p.cmd.Process.Pid }

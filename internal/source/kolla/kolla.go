// Package kolla captures what Kolla-Ansible needs to rebuild a cloud, and the state of its hosts that no playbook
// brings back: one component for the deploy host's configuration (globals, passwords, inventory, certificates, custom
// configuration) and one for every host of the inventory (its configuration directory, keys and identities in
// volumes, exports of small databases). Nothing is listed by hand: the inventory says which hosts there are, and each
// host what exists on it.
//
// A component's tree holds files below the absolute path they have on their host, so that a restore can put them
// back; what came from a running server rather than from a file lies below .holdfast.
package kolla

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

// SourceName is the word of the command line.
const SourceName = "kolla"

// DeployName is the component of the deploy host's configuration.
const DeployName = "deploy"

// Options say what to capture.
type Options struct {
	Inventory *inventory.Inventory
	Globals   *inventory.Globals
	Passwords *inventory.Passwords
	Deploy    host.Host // where Config and the inventory lie
	Config    string    // the deploy host's configuration directory
	// Tolerate is the share of the hosts outside deployment, control, network and storage that may be missing, 0 to 1;
	// above 0 it is never less than one host.
	Tolerate float64
	Now      func() time.Time // nil for the clock
}

// Source captures the configuration of a Kolla deployment.
type Source struct{ o Options }

var _ source.Source = (*Source)(nil)

// New makes the source.
func New(o Options) *Source {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Deploy == nil {
		o.Deploy = host.Local{}
	}
	return &Source{o}
}

// Name implements source.Source.
func (s *Source) Name() string { return SourceName }

// Capture implements source.Source.
func (s *Source) Capture(ctx context.Context, t source.Task, sink source.Sink) (source.Outcome, error) {
	c, err := s.capture(t, sink)
	if err != nil {
		return source.Outcome{}, err
	}
	out, err := c.run(ctx)
	if err != nil {
		return source.Outcome{}, problem.Wrap(err, "capture the configuration of", t.Name)
	}
	return out, nil
}

// capture prepares one component.
func (s *Source) capture(t source.Task, sink source.Sink) (*capture, error) {
	c := &capture{source: s, sink: sink, now: s.o.Now()}
	if t.Name == DeployName {
		c.host, c.deploy = s.o.Deploy, true
		return c, nil
	}
	h := s.o.Inventory.Host(t.Host)
	if h == nil {
		return nil, problem.New(problem.NotFound, "plan again: the inventory has changed", "host %s is not in the inventory", t.Host)
	}
	var err error
	c.node = h
	c.host, err = h.Connect()
	return c, err
}

// setting looks a Kolla variable up for a host as Kolla-Ansible does: globals outrank the inventory.
func (s *Source) setting(h *inventory.Host) func(name string) (string, bool) {
	return func(name string) (string, bool) {
		if value, ok := s.o.Globals.Value(name); ok || h == nil {
			return value, ok
		}
		return h.Var(name)
	}
}

// task is a component of files.
func task(name, hostName, reason string, required bool) source.Task {
	return source.Task{
		Source: SourceName, Name: name, Kind: point.Files, Mode: point.Full, Host: hostName, Reason: reason,
		Path: fmt.Sprintf("%s/%s", SourceName, name), Required: required,
	}
}

// Package cephcmd drives a Ceph cluster through its own commands, ceph and rbd, on a host that has them and a client's
// keyring. What they print in JSON comes as Go values; formats are those of Ceph 16 and later.
package cephcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// DefaultID is the client that Holdfast is to the cluster, when nothing else is said.
const DefaultID = "holdfast"

// connectTimeout is how many seconds a command tries to reach the monitors; Ceph's own default is five minutes.
const connectTimeout = "30"

// Cluster is a Ceph cluster as one client reaches it from one host.
type Cluster struct {
	Name string // as the configuration calls it
	On   host.Host
	Conf string // path of ceph.conf there; "" for Ceph's own default
	ID   string // the client without "client."
}

// String names the cluster for messages and manifests.
func (c Cluster) String() string { return c.Name }

// Command is a command of Ceph (rbd, ceph, radosgw-admin) as this client.
func (c Cluster) Command(program string, args ...string) host.Cmd {
	argv := []string{program}
	if c.Conf != "" {
		argv = append(argv, "--conf", c.Conf)
	}
	argv = append(argv, "--id", c.ID)
	if program == "ceph" {
		argv = append(argv, "--connect-timeout", connectTimeout)
	} else {
		argv = append(argv, "--client-mount-timeout", connectTimeout)
	}
	return host.Cmd{Args: append(argv, args...)}
}

// Output runs a command and returns what it printed.
func (c Cluster) Output(ctx context.Context, program string, args ...string) ([]byte, error) {
	out, err := host.Output(ctx, c.On, c.Command(program, args...))
	return out, c.explain(err, program, args)
}

// Run runs a command for what it does.
func (c Cluster) Run(ctx context.Context, program string, args ...string) error {
	return c.explain(host.Run(ctx, c.On, c.Command(program, args...)), program, args)
}

// crashes is how often a question is asked anew whose command crashed.
const crashes = 2

// JSON asks a question: it runs a command with --format json and decodes what it printed. Commands of Ceph are many threads that end in no
// order, and crash now and then (rbd ls of 16.2.15 aborted once in thousands of runs); a question is asked again then.
func (c Cluster) JSON(ctx context.Context, into any, program string, args ...string) error {
	args = append(args, "--format", "json")
	out, err := c.Output(ctx, program, args...)
	for n := 0; n < crashes && crashed(err) && ctx.Err() == nil; n++ {
		out, err = c.Output(ctx, program, args...)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(bytes.TrimSpace(out), into); err != nil {
		return fmt.Errorf("%s %s printed no JSON that is known: %w", program, strings.Join(args, " "), err)
	}
	return nil
}

// answerPatience is how long may take what takes a fraction of a second.
var answerPatience = 3 * time.Minute

// errUnanswered is what a question ends with that Ceph left open for too long.
var errUnanswered = errors.New("did not answer")

// within asks rbd something that it has to answer in time. It waits without end for OSDs that are away, and so it may for the source of a
// migration that nobody serves; who asks goes on or ends then.
func (c Cluster) within(ctx context.Context, patience time.Duration, into any, args ...string) error {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.JSON(bounded, into, "rbd", args...)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return problem.New(problem.Unreachable, "see ceph health, and try again", "cluster %s %w rbd %s within %s", c.Name, errUnanswered, strings.Join(args, " "), patience)
	}
	return err
}

// briefly asks rbd for what it tells of one image, or for the names in a pool.
func (c Cluster) briefly(ctx context.Context, into any, args ...string) error {
	return c.within(ctx, answerPatience, into, args...)
}

// Stream runs a command that moves much data and hands its stdout to read.
func (c Cluster) Stream(ctx context.Context, read func(io.Reader) error, program string, args ...string) error {
	cmd := c.Command(program, args...)
	cmd.Bulk = true
	return c.explain(host.Stream(ctx, c.On, cmd, read), program, args)
}

// Feed runs a command that reads in.
func (c Cluster) Feed(ctx context.Context, in io.Reader, program string, args ...string) error {
	cmd := c.Command(program, args...)
	cmd.Bulk, cmd.Stdin = true, in
	return c.explain(host.Run(ctx, c.On, cmd), program, args)
}

// Exit statuses of Ceph's commands are errno numbers.
const (
	exitPerm     = 1
	exitNotFound = 2
	exitAccess   = 13
	exitBusy     = 16
	exitExists   = 17
	exitNoSpace  = 28
	exitReadOnly = 30 // the exclusive lock was lost
	exitNotEmpty = 39
	exitRestart  = 85
	exitShutdown = 108
	exitTimeout  = 110
	exitQuota    = 122
	exitMissing  = 127 // the shell's: there is no such program
)

// IsNotFound reports whether a command failed because what it was asked for is not there.
func IsNotFound(err error) bool { return exitCode(err) == exitNotFound }

// IsExists reports whether a command failed because what it was to make is there.
func IsExists(err error) bool { return exitCode(err) == exitExists }

// IsBusy reports whether a command failed because what it was to remove or change is in use.
func IsBusy(err error) bool { return exitCode(err) == exitBusy || exitCode(err) == exitNotEmpty }

// IsDenied reports whether a command failed because the client may not do what it was asked to.
func IsDenied(err error) bool { return exitCode(err) == exitPerm || exitCode(err) == exitAccess }

// crashed reports whether a command ended by its own fault.
func crashed(err error) bool {
	var exit *host.ExitError
	return errors.As(err, &exit) && (exit.Signal == "ABRT" || exit.Signal == "SEGV")
}

func exitCode(err error) int {
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return exit.Code
	}
	return -1
}

// explain tells what was done, and of errors that operators meet what to do next.
func (c Cluster) explain(err error, program string, args []string) error {
	if err == nil || exitCode(err) < 0 {
		return err
	}
	p := &problem.Error{Kind: problem.Failed, Op: program + " " + strings.Join(args, " "), Target: "cluster " + c.Name, Cause: err}
	switch exitCode(err) {
	case exitPerm, exitAccess:
		p.Hint = fmt.Sprintf("client.%s may not do this; holdfast doctor prints the capabilities it needs", c.ID)
	case exitTimeout:
		p.Kind, p.Hint = problem.Unreachable, "the monitors do not answer: see ceph -s on a node of the cluster"
	case exitMissing:
		p.Hint = fmt.Sprintf("install ceph-common on %s, or name another host with run_on", c.On)
	}
	return p
}

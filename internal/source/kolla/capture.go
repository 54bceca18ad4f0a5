package kolla

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

// capture is one component on its way into a sink.
type capture struct {
	source *Source
	host   host.Host
	node   *inventory.Host // nil for the deploy host's configuration
	deploy bool
	sink   source.Sink
	now    time.Time

	log      tarLog
	missing  []string // beside what tar could not read
	notes    []string
	watch    *watchedTree
	identity map[string]any
	status   int // tar's exit status
}

func (c *capture) run(ctx context.Context) (source.Outcome, error) {
	c.watch = &watchedTree{Tree: c.sink.Tree}
	c.sink.Tree = c.watch
	facts, err := c.facts(ctx)
	if err != nil {
		return source.Outcome{}, err
	}
	c.identity = facts.identity()
	roots, err := c.roots(ctx)
	if err != nil {
		return source.Outcome{}, err
	}
	if err := c.copyFiles(ctx, roots); err != nil {
		return source.Outcome{}, err
	}
	if err := c.exports(ctx, facts); err != nil {
		return source.Outcome{}, err
	}
	if c.deploy {
		if err := c.describeDeployment(ctx); err != nil {
			return source.Outcome{}, err
		}
	}
	c.watch.describe(c)
	return c.outcome(), nil
}

func (c *capture) outcome() source.Outcome {
	o := source.Outcome{
		State: point.Good, Identity: c.identity, Notes: append(c.log.notes(), c.notes...),
		Proof: map[string]any{
			"files": c.watch.files.Load(), "bytes": c.watch.bytes.Load(), "archive_end": true, "tar_exit": c.status,
		},
	}
	if missing := append(c.log.missing(), c.missing...); len(missing) > 0 {
		o.State = point.ComponentPartial
		o.Reason = "not captured: " + strings.Join(missing, "; ")
	}
	return o
}

// roots are the paths that exist on the host and belong to the component, none inside another.
func (c *capture) roots(ctx context.Context) ([]string, error) {
	if c.deploy {
		return c.deployRoots(ctx)
	}
	value := c.source.setting(c.node)
	volumes := c.source.o.Globals.Volumes()
	config := c.source.nodeConfig(c.node)
	globs := []string{config}
	for _, i := range items {
		globs = append(globs, i.in(volumes, value))
	}
	found, err := survey(ctx, c.host, globs)
	if err != nil {
		return nil, err
	}
	if !contains(found, config) {
		c.note("%s is not there: Kolla has deployed nothing on this host", config)
	}
	return outermost(found), c.tellLeftOut(ctx, volumes, value)
}

// nodeConfig is the configuration directory on a host.
func (s *Source) nodeConfig(h *inventory.Host) string {
	for _, name := range []string{"node_config_directory", "node_config"} {
		if dir, ok := s.setting(h)(name); ok {
			return dir
		}
	}
	return s.o.Globals.NodeConfig()
}

// tellLeftOut notes data of the cloud's users that lies on the host and is not part of its configuration.
func (c *capture) tellLeftOut(ctx context.Context, volumes string, value func(string) (string, bool)) error {
	for _, i := range leftOut {
		found, err := survey(ctx, c.host, []string{i.in(volumes, value)})
		if err != nil {
			return err
		}
		if len(found) > 0 {
			c.note("not part of the configuration and not captured: %s, in %s", i.what, path.Dir(found[0]))
		}
	}
	return nil
}

// copyFiles streams the files below roots into the tree.
func (c *capture) copyFiles(ctx context.Context, roots []string) error {
	if len(roots) == 0 {
		return problem.New(problem.Failed, "check kolla.config in holdfast.yml and node_config in globals.yml", "nothing of Kolla is on %s", c.host)
	}
	var unpacked error
	cmd := host.Cmd{Args: tarCommand(roots), OnStderr: c.log.line}
	err := host.Stream(ctx, c.host, cmd, func(r io.Reader) error {
		unpacked = unpack(&counting{r, c.sink.Read}, c.watch)
		return unpacked
	})
	if unpacked != nil {
		return errors.Join(unpacked, exitOnly(err))
	}
	return c.judge(err)
}

// exitOnly drops the error that a stream repeats from its reader.
func exitOnly(err error) error {
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return exit
	}
	return nil
}

// tar's exit statuses.
const (
	tarChanged = 1 // some files changed
	tarTrouble = 2 // some could not be read
)

// judge takes tar's exit status together with what it said: a status that no line explains is a failure.
func (c *capture) judge(err error) error {
	var exit *host.ExitError
	if err == nil || !errors.As(err, &exit) {
		return err
	}
	c.status = exit.Code
	explained := len(c.log.lost)+len(c.log.vanished) > 0
	if exit.Code == tarChanged && explained || exit.Code == tarChanged && len(c.log.changed) > 0 || exit.Code == tarTrouble && explained {
		return nil
	}
	return err
}

// tarCommand packs what lies below roots with all that tar can keep of it.
func tarCommand(roots []string) []string {
	args := []string{
		"tar", "--create", "--file=-", "--format=posix", "--xattrs", "--acls", "--numeric-owner", "--sparse",
		"--quoting-style=escape", "--exclude=*.log", "--exclude=*.pid", "--directory=/", "--",
	}
	for _, root := range roots {
		args = append(args, "./"+strings.TrimPrefix(root, "/"))
	}
	return args
}

func (c *capture) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// counting tells how many bytes were read.
type counting struct {
	r    io.Reader
	tell func(n int64)
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 && c.tell != nil {
		c.tell(int64(n))
	}
	return n, err
}

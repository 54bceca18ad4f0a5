package kolla

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source"
	"holdfast/internal/stream/tree"
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
	archive  tree.Summary
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
	if err := c.keepExtra(); err != nil {
		return source.Outcome{}, err
	}
	c.watch.describe(c)
	return c.outcome(), nil
}

func (c *capture) outcome() source.Outcome {
	o := source.Outcome{
		State: point.Good, Identity: c.identity, Notes: append(c.log.notes(), c.notes...),
		Proof: map[string]any{
			"archive_end": true, "archive_bytes": c.archive.Bytes, "tar_exit": c.status,
			"files": c.watch.files.Load(), "bytes": c.watch.bytes.Load(), "directories": c.archive.Dirs, "symlinks": c.archive.Symlinks,
		},
	}
	if missing := append(c.log.missing(c.status), c.missing...); len(missing) > 0 {
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
	for _, i := range slices.Concat(items, leftOut) {
		globs = append(globs, i.in(volumes, value))
	}
	found, err := survey(ctx, c.host, globs)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(found, config) {
		c.note("%s is not there: Kolla has deployed nothing on this host", config)
	}
	for _, i := range leftOut {
		found = c.leave(found, i.what, i.in(volumes, value))
	}
	return outermost(found), nil
}

// leave notes data of the cloud's users that lies on the host, and takes it from what will be captured.
func (c *capture) leave(found []string, what, glob string) []string {
	left := ""
	found = slices.DeleteFunc(found, func(p string) bool {
		match, err := path.Match(glob, p)
		if match = match && err == nil; match {
			left = p
		}
		return match
	})
	if left != "" {
		c.note("not part of the configuration and not captured: %s, in %s", what, path.Dir(left))
	}
	return found
}

// nodeConfig is the configuration directory on a host.
func (s *Source) nodeConfig(h *inventory.Host) string {
	if dir, ok := s.setting(h)("node_config_directory"); ok {
		return path.Clean(dir)
	}
	return s.o.Globals.NodeConfig()
}

// copyFiles streams the files below roots into the tree.
func (c *capture) copyFiles(ctx context.Context, roots []string) error {
	if len(roots) == 0 {
		return problem.New(problem.Failed, "check kolla.config in holdfast.yml and node_config in globals.yml", "nothing of Kolla is on %s", c.host)
	}
	var broken error
	cmd := host.Cmd{Args: tarCommand(roots), OnStderr: c.log.line}
	err := host.Stream(ctx, c.host, cmd, func(r io.Reader) error {
		c.archive, broken = tree.Extract(ctx, r, c.watch, tree.Options{Read: c.sink.Read})
		return broken
	})
	if broken != nil {
		return err
	}
	return c.judge(err)
}

// keepExtra writes what the tree cannot hold into a file of its own.
func (c *capture) keepExtra() error {
	if c.archive.Extra.Empty() {
		return nil
	}
	content, err := c.archive.Extra.Marshal()
	if err != nil {
		return err
	}
	return c.keep(tree.MetaName, content)
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
	l := &c.log
	explained := len(l.lost)+len(l.vanished) > 0
	switch exit.Code {
	case tarChanged:
		explained = explained || len(l.changed) > 0
	case tarTrouble:
		explained = explained || len(l.unknown) > 0
	default:
		return err
	}
	if explained {
		return nil
	}
	return err
}

// tarCommand packs what lies below roots with all that tar can keep of it.
func tarCommand(roots []string) []string {
	args := []string{
		"tar", "--create", "--file=-", "--format=posix", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "--selinux",
		"--sparse", "--sort=name", "--quoting-style=escape", "--exclude=*.log", "--exclude=*.pid", "--directory=/", "--no-recursion",
	}
	for _, dir := range above(roots) { // else they would come back with an owner and a mode of nobody's choice
		args = append(args, "./"+strings.TrimPrefix(dir, "/"))
	}
	args = append(args, "--recursion", "--")
	for _, root := range roots {
		args = append(args, "./"+strings.TrimPrefix(root, "/"))
	}
	return args
}

// above are the directories that lead to roots, the outer ones first.
func above(roots []string) []string {
	var dirs []string
	for _, root := range roots {
		for dir := path.Dir(path.Clean(root)); dir != "/" && dir != "."; dir = path.Dir(dir) {
			dirs = append(dirs, dir)
		}
	}
	return compact(dirs)
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

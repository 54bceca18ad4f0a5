package kolla

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/stream/treetest"
)

// with runs commands here with more environment.
type with struct {
	host.Local
	env []string
}

func (w with) Start(ctx context.Context, c host.Cmd) (*host.Process, error) {
	c.Env = append(c.Env, w.env...)
	return w.Local.Start(ctx, c)
}

// TestEngineThatDoesNotAnswer: what the containers export is missing, and not only from a host that runs none.
func TestEngineThatDoesNotAnswer(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(bin, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for at, want := range map[string]point.ComponentState{"unix://" + filepath.Join(bin, "s"): point.ComponentPartial, "unix:///nowhere": point.Good} {
		on := with{env: []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "DOCKER_HOST=" + at}}
		s, dir := deployOnly(t, on, map[string]string{})
		tree := treetest.NewMemory()
		c := &capture{source: s, host: on, node: &inventory.Host{Name: "ctl1"}, sink: source.Sink{Tree: tree, Read: func(int64) {}}}
		facts, err := c.facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.identity, c.watch = facts.identity(), &watchedTree{Tree: tree}
		if err := c.copyFiles(t.Context(), []string{dir}); err != nil {
			t.Fatal(err)
		}
		if err := c.exports(t.Context(), facts); err != nil {
			t.Fatal(err)
		}
		if out := c.outcome(); out.State != want || want != point.Good && !strings.Contains(out.Reason, "containers") {
			t.Errorf("%s: %s, %q", at, out.State, out.Reason)
		}
	}
}

// TestDirectoriesAbove: those that lead to what is captured keep their modes and owners.
func TestDirectoriesAbove(t *testing.T) {
	s, dir := deployOnly(t, host.Local{}, map[string]string{})
	out, entries := captured(t, s, DeployName)
	if out.State != point.Good {
		t.Errorf("%s: %s", out.State, out.Reason)
	}
	above := strings.TrimPrefix(filepath.Dir(dir), "/")
	info, err := os.Stat("/" + above)
	if err != nil {
		t.Fatal(err)
	}
	e := entries[above]
	if e.Meta.Mode|os.ModeDir != info.Mode() {
		t.Errorf("%s: here %v, in the tree %v", above, info.Mode(), e.Meta.Mode)
	}
}

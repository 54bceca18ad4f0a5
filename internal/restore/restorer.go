package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/stream/tree"
	"holdfast/internal/vault"
)

// Restorer restores from one vault. It needs no lock.
type Restorer struct {
	Vault  *vault.Vault
	Local  host.Host // where plain targets are written and tools run
	Listen event.Listener
	Now    func() time.Time
}

func (r *Restorer) emit(ev event.Event) {
	ev.Time = r.Now().UTC()
	if r.Listen != nil {
		r.Listen(ev)
	}
}

// step runs one named piece of a restore and tells how long it took.
func (r *Restorer) step(c point.Component, name string, do func() error) error {
	r.emit(event.Event{Kind: event.Started, Source: c.Source, Component: c.Name, Text: name})
	started := r.Now()
	err := do()
	ev := event.Event{Kind: event.Finished, Source: c.Source, Component: c.Name, State: "done", Seconds: r.Now().Sub(started).Seconds(), Text: name}
	if err != nil {
		ev.State, ev.Text = "failed", err.Error()
	}
	r.emit(ev)
	return err
}

// component writes the tree of one component into dir, and with it what only the tree's own metadata file holds.
func (r *Restorer) component(ctx context.Context, id string, c point.Component, dir string, only []string) error {
	return r.step(c, "write to "+dir, func() error {
		fsys, err := r.Vault.FS(ctx, id, c.Source)
		if err != nil {
			return err
		}
		if len(only) > 0 {
			only = append([]string{tree.MetaName}, only...)
		}
		if err := extract(ctx, fsys, c.Path, dir, only, r.counter(c)); err != nil {
			return err
		}
		return applyExtra(dir)
	})
}

// counter returns a function that adds up bytes and emits progress a few times a second.
func (r *Restorer) counter(c point.Component) func(int64) {
	var total, told atomic.Int64
	return func(n int64) {
		sum := total.Add(n)
		last := told.Load()
		now := r.Now().UnixMilli()
		if now-last >= 250 && told.CompareAndSwap(last, now) {
			r.emit(event.Event{Kind: event.Progress, Source: c.Source, Component: c.Name, Bytes: sum, Total: c.BytesRead})
		}
	}
}

// applyExtra gives a restored tree the hard links, attributes and names that a vault cannot hold.
func applyExtra(dir string) error {
	name := filepath.Join(dir, tree.MetaName)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	extra, err := tree.ParseMeta(data)
	if err != nil {
		return fmt.Errorf("read %s: %w", tree.MetaName, err)
	}
	if err := extra.Apply(dir); err != nil {
		return err
	}
	return os.Remove(name)
}

// markIncomplete puts the mark of an unfinished restore into dir and returns the function that takes it away.
func markIncomplete(dir, id string) (done func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	mark := filepath.Join(dir, Incomplete)
	text := "A restore of point " + id + " into this directory has not ended. Empty the directory before another try.\n"
	if err := os.WriteFile(mark, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return func() error { return os.Remove(mark) }, nil
}

func lstat(fsys fs.FS, name string) (fs.FileInfo, error) {
	if l, ok := fsys.(fs.ReadLinkFS); ok {
		return l.Lstat(name)
	}
	return fs.Stat(fsys, name)
}

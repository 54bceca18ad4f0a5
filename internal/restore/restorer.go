package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
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
	Loads  func(context.Context, ServerImage) error // told of an image before an engine here gets it from a point; nil: nobody asks
}

func (r *Restorer) emit(ev event.Event) {
	ev.Time = r.Now().UTC()
	if r.Listen != nil {
		r.Listen(ev)
	}
}

// step runs one named piece of a restore and tells how long it took.
func (r *Restorer) step(name string, do func() error) error {
	r.emit(event.Event{Kind: event.Started, Component: name})
	started := r.Now()
	err := do()
	ev := event.Event{Kind: event.Finished, Component: name, State: "done", Seconds: r.Now().Sub(started).Seconds()}
	if err != nil {
		ev.State, ev.Text = "failed", err.Error()
	}
	r.emit(ev)
	return err
}

// component writes the tree of one component into dir.
func (r *Restorer) component(ctx context.Context, id string, c point.Component, dir string, only []string) error {
	name := "write " + c.Name + " to " + dir
	return r.step(name, func() error {
		fsys, err := r.Vault.FS(ctx, id, c.Source)
		if err != nil {
			return err
		}
		return extract(ctx, fsys, c.Path, dir, only, r.counter(name, c.BytesRead))
	})
}

// counter returns a function that adds up the bytes of a step and emits progress a few times a second. Total is what is
// expected, 0 when unknown.
func (r *Restorer) counter(step string, total int64) func(int64) {
	var sum, told atomic.Int64
	return func(n int64) {
		bytes := sum.Add(n)
		last := told.Load()
		now := r.Now().UnixMilli()
		if now-last >= 250 && told.CompareAndSwap(last, now) {
			r.emit(event.Event{Kind: event.Progress, Component: step, Bytes: bytes, Total: total})
		}
	}
}

// readExtra reads what the tree at root could not hold of its files; most trees held all.
func readExtra(fsys fs.FS, root string) (tree.Meta, error) {
	data, err := fs.ReadFile(fsys, path.Join(root, tree.MetaName))
	if errors.Is(err, fs.ErrNotExist) {
		return tree.Meta{}, nil
	}
	if err != nil {
		return tree.Meta{}, err
	}
	return tree.ParseMeta(data)
}

// narrow limits the extra metadata to what is wanted, and adds to that the files that wanted ones are hard links of.
func narrow(only []string, extra tree.Meta) ([]string, tree.Meta) {
	if len(only) == 0 {
		return only, extra
	}
	only = slices.Clone(only)
	for _, e := range extra.Entries {
		if e.LinkTo != "" && wanted(e.Path, only) && !wanted(e.LinkTo, only) {
			only = append(only, e.LinkTo)
		}
	}
	extra.Entries = slices.DeleteFunc(slices.Clone(extra.Entries), func(e tree.Entry) bool { return !wanted(e.Path, only) })
	return only, extra
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

// Package sftp keeps blobs in a directory that another host serves by sftp, laid out as the stock kopia command lays them out. The ssh
// of this host is run, so that an operator's keys, jump hosts and known hosts serve.
package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/sharded"
	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// Options say where the directory is.
type Options struct {
	Command []string // that runs ssh with the host, to which "-s", "sftp" is added
	Path    string
}

// Dir is a directory on another host. It connects when it is first used, and again after the connection was lost.
type Dir struct {
	sharded.Storage
	blob.DefaultProviderImplementation

	files *files
}

// sorting is how many letters of a blob's name each directory has that it lies in.
var sorting = []int{1, 3}

// Open connects to the host; the directory need not be there.
func Open(ctx context.Context, o Options) (*Dir, error) {
	f := &files{base: path.Clean(o.Path), link: link{command: o.Command}}
	d := &Dir{Storage: sharded.New(f, f.base, sharded.Options{DirectoryShards: sorting}, true), files: f}
	return d, f.try(ctx, "connect", func(*sftp.Client) error { return nil })
}

// Check fails when the directory is not there, with fs.ErrNotExist: what it lies on may not be mounted.
func (d *Dir) Check(ctx context.Context) error {
	return d.files.try(ctx, "look for", func(c *sftp.Client) error {
		info, err := c.Stat(d.files.base)
		if err == nil && !info.IsDir() {
			err = errors.New("it is no directory")
		}
		return err
	})
}

// MendShards removes the file that says how the blobs are sorted, if it is not as this package has it, and reports whether it did: who
// connects next writes it anew.
func (d *Dir) MendShards(ctx context.Context) (mended bool, err error) {
	var want bytes.Buffer
	if err := sharded.DefaultParameters(sorting).Save(&want); err != nil {
		return false, err
	}
	name := path.Join(d.files.base, sharded.ParametersFile)
	err = d.files.try(ctx, "mend "+name+" in", func(c *sftp.Client) error {
		file, err := c.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer file.Close()
		have, err := io.ReadAll(file)
		if err != nil || bytes.Equal(have, want.Bytes()) {
			return err
		}
		mended = true
		return c.Remove(name)
	})
	return mended && err == nil, err
}

// Make makes the directory.
func (d *Dir) Make(ctx context.Context) error {
	return d.files.try(ctx, "make", func(c *sftp.Client) error { return c.MkdirAll(d.files.base) })
}

// GetCapacity returns the room there is for this user.
func (d *Dir) GetCapacity(ctx context.Context) (room blob.Capacity, err error) {
	err = d.files.try(ctx, "ask for the room of", func(c *sftp.Client) error {
		vfs, err := c.StatVFS(d.files.base)
		if err != nil {
			return err
		}
		room = roomOf(vfs)
		return nil
	})
	return room, err
}

func roomOf(vfs *sftp.StatVFS) blob.Capacity {
	unit := vfs.Frsize
	if unit == 0 {
		unit = vfs.Bsize
	}
	return blob.Capacity{SizeB: vfs.Blocks * unit, FreeB: vfs.Bavail * unit}
}

// ConnectionInfo is empty: a vault opens its storage itself.
func (d *Dir) ConnectionInfo() blob.ConnectionInfo { return blob.ConnectionInfo{} }

// DisplayName names the directory.
func (d *Dir) DisplayName() string { return "sftp " + d.files.base }

// Close ends the connection.
func (d *Dir) Close(context.Context) error { return d.files.link.close() }

// files are those of the directory.
type files struct {
	base string
	link link
}

const (
	tries      = 5
	firstPause = time.Second
)

// try does something over a connection, and again over a new one when that was lost.
func (f *files) try(ctx context.Context, what string, do func(*sftp.Client) error) (err error) {
	pause := firstPause
	for n := range tries {
		if n > 0 {
			select {
			case <-ctx.Done():
				return errors.Join(ctx.Err(), err)
			case <-time.After(pause):
			}
			pause *= 2
		}
		var s *session
		if s, err = f.link.get(); err != nil {
			if n == 0 {
				return err
			}
			continue // it was there a moment ago
		}
		if err = do(s.client); !lost(err) {
			return f.explain(what, err)
		}
		err = s.explain(err)
		f.link.drop(s)
	}
	return f.explain(what, err)
}

func (f *files) explain(what string, err error) error {
	if err == nil || errors.Is(err, blob.ErrBlobNotFound) || errors.Is(err, blob.ErrInvalidRange) {
		return err
	}
	return fmt.Errorf("%s %s: %w", what, f.base, err)
}

// lost reports whether an error says that the connection ended.
func lost(err error) bool {
	return errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, sftp.ErrSSHFxNoConnection) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, fs.ErrClosed) || errors.Is(err, unix.EPIPE)
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return blob.ErrBlobNotFound
	}
	return err
}

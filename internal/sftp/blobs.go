package sftp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/kopia/kopia/repo/blob"
	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// GetBlobFromPath reads a file, or a part of it.
func (f *files) GetBlobFromPath(ctx context.Context, _, name string, offset, length int64, out blob.OutputBuffer) error {
	return f.try(ctx, "read "+name+" in", func(c *sftp.Client) error {
		out.Reset()
		r, err := c.Open(name)
		if err != nil {
			return notFound(err)
		}
		defer r.Close()
		if length < 0 {
			_, err = r.WriteTo(out)
			return err
		}
		if offset < 0 {
			return blob.ErrInvalidRange
		}
		part := make([]byte, length)
		if n, err := r.ReadAt(part, offset); err != nil && (int64(n) < length || !errors.Is(err, io.EOF)) {
			if errors.Is(err, io.EOF) { // the end of the file, not of the connection
				return blob.ErrInvalidRange
			}
			return err
		}
		_, err = out.Write(part)
		return err
	})
}

// GetMetadataFromPath returns the length and the time of a file.
func (f *files) GetMetadataFromPath(ctx context.Context, _, name string) (m blob.Metadata, err error) {
	err = f.try(ctx, "look at "+name+" in", func(c *sftp.Client) error {
		info, err := c.Stat(name)
		if err == nil {
			m = blob.Metadata{Length: info.Size(), Timestamp: info.ModTime()}
		}
		return notFound(err)
	})
	return m, err
}

// PutBlobInPath writes a file, which takes the place of one that is there once all of it is on the far disk, if its server can say so.
func (f *files) PutBlobInPath(ctx context.Context, _, name string, data blob.Bytes, o blob.PutOptions) error {
	switch {
	case o.HasRetentionOptions():
		return blob.ErrUnsupportedPutBlobOption
	case o.DoNotRecreate:
		return blob.ErrUnsupportedPutBlobOption
	}
	return f.try(ctx, "write "+name+" in", func(c *sftp.Client) error {
		temporary := name + ".tmp." + strings.ToLower(rand.Text())
		err := f.write(c, temporary, data)
		if err == nil {
			err = c.PosixRename(temporary, name)
		}
		if err != nil {
			_ = c.Remove(temporary) // it may not even be there
			return f.full(c, data.Length(), err)
		}
		return settle(c, name, o)
	})
}

// full tells of a write that failed for want of room, of which the protocol only says that it failed.
func (f *files) full(c *sftp.Client, length int, err error) error {
	if vfs, verr := c.StatVFS(f.base); verr == nil && roomOf(vfs).FreeB < uint64(length) {
		return fmt.Errorf("%w: %w", unix.ENOSPC, err)
	}
	return err
}

// settle sets the time of a file, or tells it, as the one who put it wants.
func settle(c *sftp.Client, name string, o blob.PutOptions) error {
	if at := o.SetModTime; !at.IsZero() {
		if err := c.Chtimes(name, at, at); err != nil {
			return err
		}
	}
	if o.GetModTime == nil {
		return nil
	}
	info, err := c.Stat(name)
	if err == nil {
		*o.GetModTime = info.ModTime()
	}
	return err
}

// write writes a new file and has the server put it on its disk.
func (f *files) write(c *sftp.Client, name string, data blob.Bytes) error {
	file, err := f.create(c, name)
	if err != nil {
		return err
	}
	r := data.Reader()
	defer r.Close()
	_, err = file.ReadFrom(r)
	if _, can := c.HasExtension("fsync@openssh.com"); err == nil && can {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// create makes a file, and the directories that it needs below the base, which must be there.
func (f *files) create(c *sftp.Client, name string) (*sftp.File, error) {
	const flags = os.O_CREATE | os.O_WRONLY | os.O_EXCL
	file, err := c.OpenFile(name, flags)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if err := f.makeBelow(c, path.Dir(name)); err != nil {
		return nil, err
	}
	return c.OpenFile(name, flags)
}

func (f *files) makeBelow(c *sftp.Client, dir string) error {
	if dir == f.base || !strings.HasPrefix(dir, f.base+"/") {
		return fs.ErrNotExist
	}
	err := c.Mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = f.makeBelow(c, path.Dir(dir)); err == nil {
			err = c.Mkdir(dir)
		}
	}
	if err != nil {
		if info, serr := c.Stat(dir); serr == nil && info.IsDir() { // another one made it
			return nil
		}
	}
	return err
}

// DeleteBlobInPath removes a file, if it is there.
func (f *files) DeleteBlobInPath(ctx context.Context, _, name string) error {
	return f.try(ctx, "remove "+name+" in", func(c *sftp.Client) error {
		if err := c.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// ReadDir lists a directory. One that is gone meanwhile has nothing in it, but the base must be there.
func (f *files) ReadDir(ctx context.Context, name string) (all []os.FileInfo, err error) {
	err = f.try(ctx, "list "+name+" in", func(c *sftp.Client) (err error) {
		if all, err = c.ReadDir(name); name != f.base && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return all, err
}

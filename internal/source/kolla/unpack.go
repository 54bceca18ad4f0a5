package kolla

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"holdfast/internal/stream"
)

// unpack reads a tar archive to its end marker into a tree.
func unpack(r io.Reader, t stream.Tree) error {
	end := &endSeeker{r: r}
	tr := tar.NewReader(end)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if err := entry(t, tr, h); err != nil {
			return fmt.Errorf("keep %s: %w", h.Name, err)
		}
	}
	if _, err := io.Copy(io.Discard, end); err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	return end.proven()
}

func entry(t stream.Tree, r io.Reader, h *tar.Header) error {
	name := path.Clean(h.Name)
	m := stream.Meta{Mode: h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky), UID: uint32(h.Uid), GID: uint32(h.Gid), ModTime: h.ModTime}
	switch h.Typeflag {
	case tar.TypeDir:
		return t.Mkdir(name, m)
	case tar.TypeSymlink:
		return t.Symlink(name, h.Linkname, m)
	case tar.TypeReg:
		f, err := t.Create(name, m, stream.Plain)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, r); err != nil {
			f.Abort()
			return err
		}
		return f.Close()
	}
	return nil
}

// endSeeker watches for the zeros that end an archive.
type endSeeker struct {
	r     io.Reader
	size  int64
	zeros int64
}

func (e *endSeeker) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.size += int64(n)
	for i := n - 1; ; i-- {
		if i < 0 {
			e.zeros += int64(n)
			break
		}
		if p[i] != 0 {
			e.zeros = int64(n - 1 - i)
			break
		}
	}
	return n, err
}

// proven wants the two empty blocks that end an archive.
func (e *endSeeker) proven() error {
	const block = 512
	if e.size%block != 0 || e.zeros < 2*block {
		return errors.New("the archive has no end marker")
	}
	return nil
}

package restore

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/stream"
)

// send streams the tree to a directory of a machine as a tar archive, and compares what arrived.
func (k *Cluster) send(ctx context.Context, n ClusterNode, dir string) error {
	fsys, err := k.r.Vault.FS(ctx, k.plan.Point, k.component.Source)
	if err != nil {
		return err
	}
	sub, err := fs.Sub(fsys, k.component.Path)
	if err != nil {
		return err
	}
	pr, pw := io.Pipe()
	var sent sentFiles
	go func() {
		var err error
		sent, err = writeTar(pw, sub, k.r.counter("write to "+n.Name, k.size))
		pw.CloseWithError(err)
	}()
	// A feed that is cut lacks the archive's end, which tar notices. A restore that was killed leaves its directory; one
	// that runs works in it.
	const script = `for p in /proc/[0-9]*/cwd; do
	case $(readlink "$p") in
	"$1" | "$1"/*) echo "another restore of this point writes to $1" >&2; exit 1 ;;
	esac
done
rm -rf "$1" && mkdir -m 700 "$1" && cd "$1" && tar --extract --numeric-owner --same-permissions --touch --file=- &&
find . -type f -printf '%s\n' | awk '{n++; s+=$1} END {printf "%d %.0f\n", n, s}'`
	out, err := host.Output(ctx, n.Machine, host.Cmd{Args: []string{"sh", "-c", script, "holdfast", dir}, Stdin: pr, Bulk: true})
	pr.CloseWithError(errors.New("the other side ended"))
	if err != nil {
		return err
	}
	if got, want := strings.TrimSpace(string(out)), fmt.Sprintf("%d %d", sent.files, sent.bytes); got != want {
		return fmt.Errorf("files and bytes that arrived are %s, sent were %s", got, want)
	}
	return nil
}

type sentFiles struct{ files, bytes int64 }

// writeTar writes every directory and file of fsys as a tar archive.
func writeTar(w io.Writer, fsys fs.FS, progress func(int64)) (sentFiles, error) {
	var sent sentFiles
	tw := tar.NewWriter(w)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		meta, _ := info.Sys().(stream.Meta)
		h := &tar.Header{
			Name: name, Mode: int64(meta.Mode.Perm()), Uid: int(meta.UID), Gid: int(meta.GID), ModTime: meta.ModTime,
			Typeflag: tar.TypeReg, Format: tar.FormatPAX,
		}
		if d.IsDir() {
			h.Typeflag, h.Name = tar.TypeDir, name+"/"
			return tw.WriteHeader(h)
		}
		h.Size = info.Size()
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		sent.files++
		sent.bytes += h.Size
		return copyFile(tw, fsys, name, progress)
	})
	return sent, errors.Join(err, closeIf(err == nil, tw))
}

// closeIf closes an archive that is whole; closing a broken one would give it the end that proves it whole.
func closeIf(whole bool, c io.Closer) error {
	if !whole {
		return nil
	}
	return c.Close()
}

func copyFile(w io.Writer, fsys fs.FS, name string, progress func(int64)) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(countingWriter{w, progress}, f)
	return err
}

type countingWriter struct {
	w     io.Writer
	count func(int64)
}

func (c countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.count(int64(n))
	return n, err
}

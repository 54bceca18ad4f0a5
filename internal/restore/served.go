package restore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sort"

	"holdfast/internal/cephcmd"
	"holdfast/internal/problem"
	"holdfast/internal/restore/serve"
	"holdfast/internal/stream/qcow2"
	"holdfast/internal/vault"
)

// served is the file that a cluster reads an image from.
type served struct {
	*qcow2.Image
	layout string // a client keeps parts of the tables, so that the file must be the same when it is served again
}

// serveImage shows a copy as a file that rbd can take an image from.
func serveImage(c imageCopy) (served, error) {
	size := c.file.Size()
	if size%qcow2.Sector != 0 {
		return served{}, problem.New(problem.Failed, "restore it without --instant",
			"%s has %d bytes, and rbd takes only images of whole sectors from outside", c.component.Name, size)
	}
	data := make([]qcow2.Extent, len(c.extents))
	sum := sha256.New()
	for n, e := range c.extents {
		data[n] = qcow2.Extent(e)
		fmt.Fprintln(sum, e.Offset, e.Length)
	}
	bits := qcow2.Bits(size, data)
	fmt.Fprintln(sum, size, bits)
	image, err := qcow2.New(serve.NewCache(&withHoles{c.file, c.extents}, size), size, data, bits)
	return served{image, hex.EncodeToString(sum.Sum(nil))}, err
}

// withHoles reads nothing where a file holds no data.
type withHoles struct {
	from    io.ReaderAt
	extents []vault.Extent
}

func (w *withHoles) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	end := off + int64(len(p))
	next := sort.Search(len(w.extents), func(n int) bool { return w.extents[n].End() > off })
	for _, e := range w.extents[next:] {
		from, to := max(e.Offset, off), min(e.End(), end)
		if from >= to {
			break
		}
		if n, err := w.from.ReadAt(p[from-off:to-off], from); int64(n) < to-from {
			return int(from - off), err
		}
	}
	return len(p), nil
}

// address is where the image is served by default: at the address of this host that the cluster's monitors are reached
// from, on a port that is free.
func address(ctx context.Context, on cephcmd.Cluster) (string, error) {
	monitors, err := on.Monitors(ctx)
	if err != nil {
		return "", err
	}
	for _, m := range monitors {
		conn, err := net.Dial("udp", m) // nothing is sent
		if err != nil {
			continue
		}
		host, _, err := net.SplitHostPort(conn.LocalAddr().String())
		if err := errors.Join(err, conn.Close()); err != nil {
			return "", err
		}
		return net.JoinHostPort(host, "0"), nil
	}
	return "", problem.New(problem.Failed, "give the address that the computes reach this host at with --listen", "no route leads to a monitor of cluster %s", on)
}

// listenAddress completes what an operator gave: HOST or HOST:PORT.
func listenAddress(given string) string {
	if _, _, err := net.SplitHostPort(given); err == nil {
		return given
	}
	return net.JoinHostPort(given, "0")
}

// checkAddress refuses what rbd could not reach.
func checkAddress(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return problem.New(problem.Usage, "give HOST or HOST:PORT", "cannot serve an image there: %w", err)
	}
	switch ip := net.ParseIP(host); {
	case host == "" || ip != nil && ip.IsUnspecified():
		return problem.New(problem.Usage, "give the address that the computes reach this host at with --listen, or with listen of the cluster in holdfast.yml", "cannot serve an image at %q, which is no address to connect to", host)
	case ip != nil && ip.To4() == nil:
		return problem.New(problem.Usage, "give a name of this host that the computes know, with --listen or with listen of the cluster in holdfast.yml", "rbd takes no IPv6 address in a URL: %s", host)
	}
	return nil
}

package cephcmd

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/stream/nbd"
)

//go:embed serve.py
var servePython string

// ErrNoBlocks means that single blocks of images cannot be read where the cluster's commands run: qemu-nbd is missing there,
// or the part of it that knows Ceph's images.
var ErrNoBlocks = errors.New("blocks of images cannot be read")

// Blocks opens a snapshot, or an image's head, for reading single ranges of it. Read gets a connection to a qemu-nbd that
// serves it, read-only, to nobody else, for as long as read takes.
func (c Cluster) Blocks(ctx context.Context, s Spec, read func(*nbd.Client) error) error {
	asked, ask := io.Pipe()
	defer asked.Close()
	cmd := host.Cmd{
		Args: append([]string{"sh", "-c", askShell, "ask", servePython}, c.blocks(s)...), Name: "qemu-nbd",
		Stdin: asked, Prompt: true,
	}
	err := host.Stream(ctx, c.On, cmd, func(r io.Reader) error {
		client, err := nbd.New(r, ask, "")
		if err == nil {
			err = read(client)
		}
		if err == nil {
			err = client.Close()
		}
		return errors.Join(err, ask.Close())
	})
	return c.explainBlocks(err)
}

// blocks are the arguments of qemu-nbd.
func (c Cluster) blocks(s Spec) []string {
	image := []string{"driver=rbd", "pool=" + s.Pool, "image=" + s.Image, "user=" + c.ID}
	if s.Snapshot != "" {
		image = append(image, "snapshot="+s.Snapshot)
	}
	if c.Conf != "" {
		image = append(image, "conf="+c.Conf)
	}
	for n := range image {
		image[n] = strings.ReplaceAll(image[n], ",", ",,")
	}
	return []string{"--read-only", "--image-opts", strings.Join(image, ",")}
}

// unknownDriver is what qemu says when its part for Ceph is not installed.
const unknownDriver = "Unknown driver 'rbd'"

func (c Cluster) explainBlocks(err error) error {
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if exit.Code == exitMissing || strings.Contains(exit.Stderr, unknownDriver) {
		return &problem.Error{
			Kind: problem.Failed, Op: "qemu-nbd", Target: "cluster " + c.Name, Cause: errors.Join(ErrNoBlocks, err),
			Hint: "install qemu-utils and qemu-block-extra on " + c.On.String() + ", where run_on has the commands of Ceph run; other systems than Debian " +
				"call them qemu-img and qemu-block-rbd",
		}
	}
	return err
}

// CanBlocks tells whether Blocks can work at all: nil, or an error that is ErrNoBlocks. It asks no cluster.
func (c Cluster) CanBlocks(ctx context.Context) error {
	nowhere := c
	nowhere.Conf = "/nonexistent/holdfast.conf"
	err := nowhere.Blocks(ctx, Spec{Pool: "none", Image: "none"}, func(*nbd.Client) error { return nil })
	var exit *host.ExitError
	if errors.As(err, &exit) && !errors.Is(err, ErrNoBlocks) {
		return nil // it was there to say that this does not exist
	}
	return err
}

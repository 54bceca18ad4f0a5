package cephcmd

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

//go:embed ranges.py
var rangesPython string

// ErrNoRanges means that single ranges of images cannot be read where the cluster's commands run, since Ceph's modules for
// Python are missing there.
var ErrNoRanges = errors.New("single ranges of images cannot be read")

// Ranges reads single ranges of a snapshot. It opens the snapshot at once, and then waits for which, which tells the ranges, or
// none; each gets the bytes of one after the other.
func (c Cluster) Ranges(ctx context.Context, s Spec, which func() []stream.Extent, each func(n int, data []byte) error) error {
	cmd, err := c.reader(rangesPython, s, map[string]any{"at_once": readsAtOnce})
	if err != nil {
		return err
	}
	told := make(chan []stream.Extent, 1)
	list, tell := io.Pipe()
	defer list.Close()
	go func() {
		ranges := which()
		told <- ranges
		_, err := tell.Write(pairsOf(ranges))
		tell.CloseWithError(err)
	}()
	cmd.Stdin = list
	err = host.Stream(ctx, c.On, cmd, func(r io.Reader) error { return readRanges(r, <-told, each) })
	return c.explainRanges(err)
}

// pairsOf is what ranges.py reads; nothing when there is nothing to read.
func pairsOf(ranges []stream.Extent) []byte {
	if len(ranges) == 0 {
		return nil
	}
	pairs := make([][2]int64, len(ranges))
	for n, r := range ranges {
		pairs[n] = [2]int64{r.Offset, r.Length}
	}
	text, err := json.Marshal(pairs)
	if err != nil {
		panic(err) // of plain numbers
	}
	return text
}

func readRanges(r io.Reader, ranges []stream.Extent, each func(n int, data []byte) error) error {
	for n, e := range ranges {
		data := make([]byte, e.Length)
		if _, err := io.ReadFull(r, data); err != nil {
			return cutOff(err)
		}
		if err := each(n, data); err != nil {
			return err
		}
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more bytes came than were asked for: %w", err)
	}
	return nil
}

func (c Cluster) explainRanges(err error) error {
	if exitCode(err) != exitMissing {
		return c.explain(err, "rbd", []string{"(single ranges)"})
	}
	return &problem.Error{
		Kind: problem.Failed, Op: "read ranges of images", Target: "cluster " + c.Name, Cause: errors.Join(ErrNoRanges, err),
		Hint: "install python3-rbd on " + c.On.String() + ", where run_on has the commands of Ceph run",
	}
}

// CanRanges tells whether Ranges can work at all: nil, or an error that is ErrNoRanges. It asks no cluster.
func (c Cluster) CanRanges(ctx context.Context) error {
	return c.explainRanges(host.Run(ctx, c.On, python(snapshotPython+rangesPython)))
}

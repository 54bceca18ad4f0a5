package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"holdfast/internal/point"
)

// rawStream leaves the uncompressed stream of a backup in a file, and in the page cache.
func (b *bench) rawStream() (string, func(), error) {
	file, remove := b.scratch("raw.mbs")
	_, err := b.local(reader, backupTool+" --stream=mbstream >"+file)
	return file, remove, err
}

// restoreDatadir compares a restore from the vault with extracting and preparing a plain stream.
func restoreDatadir(b *bench) error {
	raw, remove, err := b.rawStream()
	if err != nil {
		return err
	}
	defer remove()
	v, err := b.newVault(reader)
	if err != nil {
		return err
	}
	defer v.remove()
	c, _, err := v.backup(point.Physical)
	if err != nil {
		return err
	}
	to, remove := b.scratch("datadir")
	defer remove()
	pairs, err := b.compare(b.pairs, func() (float64, error) {
		defer os.RemoveAll(to)
		_, took, err := v.hold("restore", "mariadb", "latest", "--to", to, "--yes")
		return took, firstError(err, whole(to))
	}, func() (float64, error) {
		defer os.RemoveAll(to)
		if _, err := b.timed(exec.CommandContext(b.ctx, "cat", raw)); err != nil { // it may have left the page cache
			return 0, err
		}
		const script = `set -e; mkdir "$2"
mbstream -x -C "$2" <"$1"; mariadb-backup --no-defaults --prepare --target-dir="$2" 2>"$2.log"; rm "$2.log"; sync -f "$2"`
		took, err := b.timed(exec.CommandContext(b.ctx, "bash", "-c", script, "peer", raw, to))
		return took, firstError(err, whole(to))
	})
	if err != nil {
		return err
	}
	f := pairs.atMost("restore to a prepared datadir", 1.30, "mbstream -x and --prepare")
	f.Detail += "; " + mib(c.BytesRead)
	b.add(f)
	return nil
}

// whole checks that a prepared datadir holds the bulk data.
func whole(dir string) error {
	if n := sizeOf(filepath.Join(dir, "bulk")); n == 0 {
		return fmt.Errorf("the restored datadir holds no bulk data")
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// restoreCluster loses all nodes of a database of about 900 MB and brings them back, by Holdfast and by hand.
func restoreCluster(b *bench) error {
	const shrink = "DROP TABLE IF EXISTS bulk.events_4; SELECT MAX(id) DIV 2 INTO @half FROM bulk.events_3; " +
		"DELETE FROM bulk.events_3 WHERE id > @half; OPTIMIZE TABLE bulk.events_3"
	if _, err := b.lab.SQL(b.ctx, writerNode, shrink); err != nil {
		return err
	}
	if err := b.quiesce(); err != nil {
		return err
	}
	raw, remove, err := b.rawStream()
	if err != nil {
		return err
	}
	defer remove()
	v, err := b.newVault(reader)
	if err != nil {
		return err
	}
	defer v.remove()
	c, _, err := v.backup(point.Physical)
	if err != nil {
		return err
	}
	pairs, err := b.compare(min(b.pairs, 3), func() (float64, error) {
		if err := b.destroy(); err != nil {
			return 0, err
		}
		_, took, err := v.hold("restore", "mariadb", "latest", "--cluster", "--yes")
		return took, firstError(err, b.allThere())
	}, func() (float64, error) {
		if err := b.destroy(); err != nil {
			return 0, err
		}
		took, err := b.byHand(raw)
		return took, firstError(err, b.allThere())
	})
	if err != nil {
		return err
	}
	b.add(figure{
		What: "whole cluster back, 3 nodes Synced, rsync", Bar: "≤ 30 s", Measured: fmt.Sprintf("%.1f s", pairs.ours()), Verdict: verdict(pairs.ours() <= 30),
		Detail: fmt.Sprintf("%d MB; by hand %.1f s; %d pairs", c.BytesRead/1e6, pairs.theirs(), len(pairs)),
	})
	return nil
}

// destroy kills every server and empties every datadir.
func (b *bench) destroy() error {
	for _, n := range b.lab.Nodes() {
		if b.lab.PID(n.Host) != 0 {
			if err := b.lab.Kill(b.ctx, n.Host); err != nil {
				return err
			}
		}
		left, err := filepath.Glob(b.lab.Datadir(n.Host) + "/*")
		if err != nil {
			return err
		}
		aside, err := filepath.Glob(b.lab.Datadir(n.Host) + "?*") // kept by an earlier restore
		if err != nil {
			return err
		}
		for _, path := range append(left, aside...) {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return b.settle()
}

// byHand brings the cluster back as an operator with a plain stream and the right commands at hand would.
func (b *bench) byHand(raw string) (float64, error) {
	mysql, err := user.Lookup("mysql")
	if err != nil {
		return 0, err
	}
	began := time.Now()
	dir := b.lab.Datadir(writerNode)
	const script = `set -e; mbstream -x -C "$2" <"$1"; mariadb-backup --no-defaults --prepare --target-dir="$2" 2>"$1.log"; chown -R "$3:$4" "$2"`
	if _, err := b.timed(exec.CommandContext(b.ctx, "bash", "-c", script, "peer", raw, dir, mysql.Uid, mysql.Gid)); err != nil {
		return 0, err
	}
	for i, n := range b.lab.Nodes() {
		start := b.lab.Start
		if i == 0 {
			start = b.lab.Bootstrap
		}
		if err := start(b.ctx, n.Host); err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds(), nil
}

// allThere checks that every node is Synced in a cluster of all and has the bulk data.
func (b *bench) allThere() error {
	for _, n := range b.lab.Nodes() {
		ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
		defer cancel()
		if err := b.lab.AwaitSynced(ctx, n.Host); err != nil {
			return err
		}
		out, err := b.lab.SQL(ctx, n.Host, "SELECT VARIABLE_VALUE, (SELECT COUNT(*) FROM bulk.events_1) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_cluster_size'")
		if err != nil {
			return err
		}
		var size, rows int
		if _, err := fmt.Sscan(out, &size, &rows); err != nil || size != len(b.lab.Nodes()) || rows == 0 {
			return fmt.Errorf("%s came back with cluster size and rows %s", n.Host, strconv.Quote(out))
		}
	}
	return nil
}

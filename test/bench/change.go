package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/point"
)

// bulkTables are the tables of the lab's bulk data. Their column body has no index.
var bulkTables = []string{"bulk.events_1", "bulk.events_2", "bulk.events_3", "bulk.events_4"}

// changedBackup takes a copy, changes one row in a hundred of every bulk table, first those of one range of keys, then
// some all over the table, and says how much each next copy adds to the vault.
func changedBackup(b *bench) error {
	v, err := b.newVault(reader)
	if err != nil {
		return err
	}
	defer v.remove()
	if err := b.quiesce(); err != nil {
		return err
	}
	first, node, err := v.growth()
	if err != nil {
		return err
	}
	changes := []struct{ what, where, bar string }{
		{"second physical copy, 1 % of each table changed in one range", "id BETWEEN %[1]d * 40 DIV 100 AND %[1]d * 41 DIV 100 - 1", "≤ 10 %"},
		{"the same, 1 % spread over the keys", "id %% 100 = 37 AND id <= %[1]d", "-"},
	}
	for _, change := range changes {
		if err := b.change(change.where); err != nil {
			return err
		}
		again, next, err := v.growth()
		if err != nil {
			return err
		}
		if next != node {
			return fmt.Errorf("the copies are of different nodes, %s and %s", node, next)
		}
		share := float64(again) / float64(first)
		f := figure{
			What: change.what, Bar: change.bar, Measured: fmt.Sprintf("%.1f %%", 100*share),
			Detail: fmt.Sprintf("the vault grew by %s, by %s for the first copy", mib(again), mib(first)),
		}
		if change.bar != "-" {
			f.Verdict = verdict(share <= 0.10)
		}
		b.add(f)
	}
	return nil
}

// growth takes a physical copy and returns by how many bytes the vault grew, and which node was read.
func (v *vault) growth() (int64, string, error) {
	before := sizeOf(v.dir + "/vault")
	c, _, err := v.backup(point.Physical)
	return sizeOf(v.dir+"/vault") - before, c.Host, err
}

// change updates the rows of every bulk table that fit, in place, and waits until that is on disk on every node.
func (b *bench) change(where string) error {
	for _, table := range bulkTables {
		last, err := b.lab.SQL(b.ctx, writerNode, "SELECT MAX(id) FROM "+table)
		if err != nil {
			return err
		}
		var rows int
		if _, err := fmt.Sscan(last, &rows); err != nil {
			return fmt.Errorf("last row of %s: %w", table, err)
		}
		if _, err := b.lab.SQL(b.ctx, writerNode, fmt.Sprintf("UPDATE "+table+" SET body = REVERSE(body) WHERE "+where, rows)); err != nil {
			return err
		}
	}
	return b.quiesce()
}

// quiesce waits until every node has applied everything, purged what is undone, and written all its pages, so that the
// redo log is idle.
func (b *bench) quiesce() error {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Minute)
	defer cancel()
	for _, n := range b.lab.Nodes() {
		const write = "SET SESSION wsrep_sync_wait=1; SET GLOBAL innodb_max_dirty_pages_pct=0; SET GLOBAL innodb_max_dirty_pages_pct_lwm=0; SELECT 1 FROM bulk.events_1 LIMIT 1"
		if _, err := b.lab.SQL(ctx, n.Host, write); err != nil {
			return err
		}
		if err := b.awaitIdle(ctx, n.Host); err != nil {
			return fmt.Errorf("wait until %s is idle: %w", n.Host, err)
		}
	}
	return nil
}

// awaitIdle polls until nothing is dirty or to purge and the log has not moved between two looks.
func (b *bench) awaitIdle(ctx context.Context, node string) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for before := ""; ; {
		out, err := b.lab.SQL(ctx, node, "SHOW STATUS WHERE Variable_name IN "+
			"('Innodb_buffer_pool_pages_dirty','Innodb_history_list_length','Innodb_lsn_current')")
		if err != nil {
			return err
		}
		lines := strings.Split(out, "\n")
		idle := slices.Contains(lines, "Innodb_buffer_pool_pages_dirty\t0") && slices.Contains(lines, "Innodb_history_list_length\t0")
		if idle && out == before {
			return nil
		}
		before = out
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; it says %s", ctx.Err(), strings.Join(lines, ", "))
		case <-tick.C:
		}
	}
}

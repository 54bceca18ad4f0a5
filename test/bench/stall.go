package main

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"

	"holdfast/internal/point"
)

// toNothing is the backup whose stalls are those of the server and the tool alone.
const toNothing = backupTool + " --stream=mbstream >/dev/null"

// stallOnOtherNode measures how long commits on one node wait while another one is backed up.
func stallOnOtherNode(b *bench) error {
	w, err := b.startWriter(writerNode)
	if err != nil {
		return err
	}
	defer w.stop()
	still := w.during(func() { time.Sleep(3 * time.Second) })
	pairs, err := b.stalls(w)
	if err != nil {
		return err
	}
	var longest float64
	for _, p := range pairs {
		longest = max(longest, p.ours)
	}
	b.add(figure{
		What: "longest commit on another node", Bar: "≤ 300 ms", Measured: fmt.Sprintf("%.0f ms", longest), Verdict: verdict(longest <= 300),
		Detail: fmt.Sprintf("of %d backups; median %.0f ms, with the tool to /dev/null %.0f ms, in 3 s without a backup %.0f ms",
			len(pairs), pairs.ours(), pairs.theirs(), still),
	})
	return nil
}

// stallOnSameNode measures it on the node that is backed up.
func stallOnSameNode(b *bench) error {
	w, err := b.startWriter(reader)
	if err != nil {
		return err
	}
	defer w.stop()
	pairs, err := b.stalls(w)
	if err != nil {
		return err
	}
	f := pairs.atMost("longest commit on the node that is backed up", 1.25, "")
	f.Detail = fmt.Sprintf("%.0f ms, with the tool to /dev/null %.0f ms, %d pairs", pairs.ours(), pairs.theirs(), len(pairs))
	b.add(f)
	return nil
}

// stalls compares the longest commit, in milliseconds, during a backup into the vault and one to nowhere.
func (b *bench) stalls(w *writer) (comparison, error) {
	return b.compare(b.pairs, func() (float64, error) {
		v, err := b.newVault(reader)
		if err != nil {
			return 0, err
		}
		defer v.remove()
		longest := w.during(func() { _, _, err = v.backup(point.Physical) })
		return longest, errOr(err, w)
	}, func() (longest float64, err error) {
		longest = w.during(func() { _, err = b.local(reader, toNothing) })
		return longest, errOr(err, w)
	})
}

func errOr(err error, w *writer) error {
	if err == nil {
		err = w.err
	}
	return err
}

// writer commits one row after the other on one node, each in a transaction of its own, as fast as it gets answers.
type writer struct {
	db     *sql.DB
	cancel context.CancelFunc
	done   chan struct{}
	begin  chan chan float64 // starts to look for the longest commit
	end    chan chan float64
	err    error // what ended it early; read after during
}

func (b *bench) startWriter(node string) (*writer, error) {
	n, err := b.lab.Node(node)
	if err != nil {
		return nil, err
	}
	if _, err := b.lab.SQL(b.ctx, node, "CREATE DATABASE IF NOT EXISTS bench; CREATE TABLE IF NOT EXISTS bench.commits "+
		"(id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, body VARCHAR(200) NOT NULL) ENGINE=InnoDB"); err != nil {
		return nil, err
	}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = "root", b.lab.RootPassword().Reveal(), "tcp", fmt.Sprintf("127.0.0.1:%d", n.SQLPort)
	c.InterpolateParams = true // one round trip for each commit
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	w := &writer{db: sql.OpenDB(connector), cancel: cancel, done: make(chan struct{}), begin: make(chan chan float64), end: make(chan chan float64)}
	w.db.SetMaxOpenConns(1)
	go w.run(ctx)
	return w, nil
}

func (w *writer) run(ctx context.Context) {
	defer close(w.done)
	var longest []float64 // since begin, in milliseconds
	for i := 0; ctx.Err() == nil; i++ {
		began := time.Now()
		if _, err := w.db.ExecContext(ctx, "INSERT INTO bench.commits (body) VALUES (?)", fmt.Sprintf("%0100d", i)); err != nil {
			w.err = err
			return
		}
		longest = append(longest, float64(time.Since(began).Microseconds())/1000)
		select {
		case started := <-w.begin:
			longest = longest[:0]
			started <- 0
		case asked := <-w.end:
			asked <- slices.Max(append(longest, 0))
		default:
		}
	}
}

// during returns the longest commit, in milliseconds, of those that overlap with what do does. A commit that waits when
// do ends is waited for.
func (w *writer) during(do func()) float64 {
	answer := make(chan float64, 1)
	ask := func(c chan chan float64) float64 {
		select {
		case c <- answer:
			return <-answer
		case <-w.done:
			return 0
		}
	}
	ask(w.begin)
	do()
	return ask(w.end)
}

func (w *writer) stop() {
	w.cancel()
	<-w.done
	w.db.Close()
}

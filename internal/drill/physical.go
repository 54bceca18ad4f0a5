package drill

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"holdfast/internal/event"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/stream/sqldump"
)

// physical restores the datadir, starts a server on it, and holds what it serves against the dump of the same run.
func (p *part) physical() error {
	if err := p.datadir(); err != nil {
		return err
	}
	written := map[string]uint64{}
	name := "check every page"
	if err := p.step(name, func() (err error) { written, err = p.checkPages(p.counter(name, p.result.Bytes)); return err }); err != nil {
		return err
	}
	if err := p.step("read the position in the cluster", p.position); err != nil {
		return err
	}
	if err := p.step("start the restored server", func() error { return p.serve(p.defaults(), "--skip-grant-tables") }); err != nil {
		return err
	}
	if err := p.step("mariadb-check", p.check); err != nil {
		return err
	}
	files, want, ok, err := p.dump(p.ctx)
	if err != nil {
		return cannot(err, "copy", "logical")
	}
	name = "compare the restored tables"
	if err := p.step(name, func() error { return p.compareRestored(files, want, ok, written, p.counter(name, want.Bytes)) }); err != nil {
		return err
	}
	return p.step("log in to what was restored", func() error { return p.logIn(files) })
}

// datadir writes and prepares the copy as a restore does.
func (p *part) datadir() error {
	r := *p.Restorer
	r.Listen = func(ev event.Event) {
		if ev.Kind == event.Finished {
			name, _, _ := strings.Cut(ev.Component, " to "+p.dir)
			p.result.Steps = append(p.result.Steps, point.DrillStep{Name: name, Seconds: ev.Seconds})
		}
		if p.Restorer.Listen != nil {
			p.Restorer.Listen(ev)
		}
	}
	data := filepath.Join(p.dir, "data")
	job, err := r.Datadir(p.ctx, p.Point, p.Shard, data)
	if err != nil {
		return cannot(err, "copy", p.component.Name)
	}
	for _, refusal := range job.Plan().Refusals {
		return problem.New(problem.Failed, refusal.Hint, "%s", refusal.Text)
	}
	if err := job.Execute(p.ctx); err != nil {
		return cannot(err, "copy", p.component.Name)
	}
	p.result.Bytes = p.component.BytesRead
	return p.owned("data")
}

// defaults are the options that the copy's own files ask for.
func (p *part) defaults() string {
	const name = "data/backup-my.cnf"
	if exists(filepath.Join(p.dir, name)) {
		return "--defaults-file=" + p.programs.home(p.dir) + "/" + name
	}
	return "--no-defaults"
}

var recovered = regexp.MustCompile(`Recovered position:? *([0-9a-f-]{36}):(-?\d+)`)

// recover are the options by which a server tells its position and ends. It tells one only if it has a provider, which it does not load.
var recover = []string{
	"--wsrep-recover", "--wsrep-on=ON", "--wsrep-provider=/nonexistent", "--wsrep-cluster-address=gcomm://", "--binlog-format=ROW",
	"--skip-networking", "--loose-innodb-use-native-aio=0", "--innodb-buffer-pool-size=128M",
}

// position demands that the data stand where the manifest says in the cluster's history.
func (p *part) position() error {
	uuid := text(p.component.Identity, "cluster_uuid")
	seqno, ok := number(p.component.Identity, "seqno")
	if uuid == "" || !ok {
		p.note("the copy is of no Galera cluster, so that it has no position")
		return nil
	}
	args := append([]string{p.defaults()}, p.where()...)
	said, err := p.program("server", append(args, recover...)...)
	if err != nil {
		return cannot(fmt.Errorf("%w: %s", err, lastLine(said)), "position", p.component.Name)
	}
	want := fmt.Sprintf("%s:%d", uuid, seqno)
	if got := recovered.FindStringSubmatch(said); got == nil {
		p.finds("position", p.component.Name, "the restored data tell no position in the cluster, the manifest says %s", want)
	} else if got[1]+":"+got[2] != want {
		p.finds("position", p.component.Name, "the restored data stand at %s:%s, the manifest says %s", got[1], got[2], want)
	}
	return nil
}

// check has the server look at every table and its indexes.
func (p *part) check() error {
	out, err := p.connect(p.admin).Tool(p.ctx, p.programs.names["check"], "--default-character-set=utf8mb4", "--check", "--all-databases")
	if err != nil {
		return cannot(err, "server", "mariadb-check")
	}
	table := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		kind, text, message := strings.Cut(line, ":")
		switch kind = strings.TrimSpace(kind); {
		case message && (strings.EqualFold(kind, "error") || strings.EqualFold(kind, "status")) && !strings.Contains(text, "OK"):
			p.finds("table", table, "mariadb-check says:%s", text)
		case message && strings.EqualFold(kind, "warning"):
			p.note("mariadb-check warns of %s:%s", table, text)
		case !message:
			table = strings.TrimSpace(strings.TrimSuffix(line, "OK"))
		}
	}
	return nil
}

// compareRestored holds the restored tables against the dump of the same run, where there is one.
func (p *part) compareRestored(files fs.FS, want sqldump.Summary, ok bool, written map[string]uint64, count func(int64)) error {
	got, defined, err := p.look(count)
	if err != nil {
		return err
	}
	p.result.Rows, p.result.Tables = got.Rows, len(got.Tables)
	if !ok {
		p.note("the point holds no dump to compare with")
		return nil
	}
	unwritten, err := p.unwritten(written)
	if err != nil {
		return err
	}
	p.compareTables(want.Tables, got.Tables, unwritten)
	return p.compareDefinitions(files, want, defined, isEvents) // which are rows of mysql.event, too
}

// lastLine is the last that a program said.
func lastLine(said string) string {
	said = strings.TrimSpace(said)
	return said[strings.LastIndexByte(said, '\n')+1:]
}

package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/mariadb"
	"holdfast/internal/stream/sqldump"
)

// part is the drill of one copy.
type part struct {
	*run
	ctx       context.Context
	name      string // logical or physical
	dir       string
	component point.Component
	programs  programs
	admin     mariadb.Login // who may do everything on the server
	began     time.Time
	result    point.DrillPart
	tools     sync.Mutex // one program at a time
	ran       int        // programs
	notes     sync.Mutex

	ended chan struct{} // closed when the server has; nil before there is one
	exit  error         // how
}

// prepared drills with programs that fit. A copy that cannot be used further has been drilled, too.
func (p *part) prepared(drill func(*part) error) error {
	err := p.step("find programs for "+p.component.Name, func() (err error) {
		p.programs, err = p.find(p.ctx, p.component)
		return err
	})
	if err != nil {
		return err
	}
	p.result.Programs, p.admin = p.programs.describe, mariadb.Login{User: "root"}
	if err := p.owned("tmp"); err != nil {
		return err
	}
	if out, err := p.program("nothing"); err != nil { // else it would look as if the copy were at fault
		return problem.New(problem.Failed, "run Holdfast as root, with the right to make namespaces (CAP_SYS_ADMIN) and unshare and setpriv of util-linux; or let the engine run containers",
			"no server can be run aside: %w: %s", err, lastLine(out))
	}
	err = drill(p)
	var found differs
	if errors.As(err, &found) {
		p.finds(found.What, found.Name, "%s", found.Text)
		return nil
	}
	return err
}

// close ends the server and removes the part's directory.
func (p *part) close() error {
	if p.ended != nil {
		<-p.ended // the context that it lived by has ended
	}
	ctx := context.WithoutCancel(p.ctx)
	return errors.Join(endContainers(ctx, p.place.dir), clear(ctx, p.dir))
}

// step runs a piece of the part, tells of it, and remembers how long it took.
func (p *part) step(name string, do func() error) error {
	p.emit(event.Event{Kind: event.Started, Component: name})
	began := p.Restorer.Now()
	err := do()
	took := p.Restorer.Now().Sub(began).Seconds()
	ev := event.Event{Kind: event.Finished, Component: name, State: "done", Seconds: took}
	if err != nil {
		ev.State, ev.Text = "failed", err.Error()
	}
	p.result.Steps = append(p.result.Steps, point.DrillStep{Name: name, Seconds: took})
	p.emit(ev)
	return err
}

// counter tells of the bytes of a step a few times a second.
func (p *part) counter(step string, total int64) func(int64) {
	var sum int64
	var told time.Time
	return func(n int64) {
		sum += n
		if now := p.Restorer.Now(); now.Sub(told) >= 250*time.Millisecond {
			told = now
			p.emit(event.Event{Kind: event.Progress, Component: step, Bytes: sum, Total: total})
		}
	}
}

// note says something that is no finding.
func (p *part) note(format string, args ...any) {
	p.notes.Lock()
	defer p.notes.Unlock()
	p.result.Notes = append(p.result.Notes, fmt.Sprintf(format, args...))
}

// mostFindings are those that are kept one by one.
const mostFindings = 50

// finds notes that something is not as it should be.
func (p *part) finds(what, name, format string, args ...any) {
	switch n := len(p.result.Findings); {
	case n < mostFindings:
		p.result.Findings = append(p.result.Findings, point.DrillFinding{What: what, Name: name, Text: fmt.Sprintf(format, args...)})
	case n == mostFindings:
		p.result.Findings = append(p.result.Findings, point.DrillFinding{What: "more", Text: "there are more findings, which are left out"})
	}
}

// cannot makes a failure of a program, or damage of the vault, a finding: the copy is at fault. Other errors are not.
func cannot(err error, what, name string) error {
	var exit *host.ExitError
	if err != nil && (errors.As(err, &exit) || problem.KindOf(err) == problem.Damage) {
		return differs{point.DrillFinding{What: what, Name: name, Text: err.Error()}}
	}
	return err
}

// dump opens the logical copy of the shard, with what was recorded while it was taken. It reports false when the point has none.
func (r *run) dump(ctx context.Context) (files fs.FS, sum sqldump.Summary, ok bool, err error) {
	c, ok := r.Point.Component(mariadb.SourceName, fmt.Sprintf("shard%d/logical", r.Shard))
	if !ok || c.State != point.Good {
		return nil, sum, false, nil
	}
	fsys, err := r.Restorer.Vault.FS(ctx, r.Point.ID, c.Source)
	if err != nil {
		return nil, sum, true, err
	}
	if files, err = fs.Sub(fsys, c.Path); err != nil {
		return nil, sum, true, err
	}
	data, err := fs.ReadFile(files, sqldump.OrderPath)
	if err == nil {
		err = json.Unmarshal(data, &sum)
	}
	return files, sum, true, problemReading(err, r.Point.ID)
}

func problemReading(err error, id string) error {
	if err == nil {
		return nil
	}
	return problem.Wrap(err, "read the list of tables of", id)
}

// exists reports whether a file is there.
func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/rows"
	"holdfast/internal/source/mariadb"
	"holdfast/internal/source/rbd"
	"holdfast/internal/verify"
)

// rowsTimeout is how long the running databases may take, which are asked while nothing else happens.
const rowsTimeout = 2 * time.Minute

// policy is which images are captured. The databases are looked for only if a rule needs them.
func (a *app) policy(from setup) rbd.Policy {
	return rbd.Policy{
		Include: from.cfg.RBD.Include, Exclude: from.cfg.RBD.Exclude,
		Rows: func(ctx context.Context, need rows.Need) (*rows.Facts, error) { return a.rows(ctx, from, need) },
	}
}

// rows reads what the services' databases say from the running servers, else from the newest logical copy.
func (a *app) rows(ctx context.Context, from setup, need rows.Need) (*rows.Facts, error) {
	f, err := a.liveRows(ctx, from, need)
	if err == nil || ctx.Err() != nil {
		return f, err
	}
	old, oldErr := copiedRows(ctx, from, need)
	if oldErr != nil {
		return nil, fmt.Errorf("%w; nor can a copy: %w", err, oldErr)
	}
	old.From += fmt.Sprintf(", since the servers did not tell (%v)", err)
	return old, nil
}

// liveRows reads from one node of every shard.
func (a *app) liveRows(ctx context.Context, from setup, need rows.Need) (*rows.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, rowsTimeout)
	defer cancel()
	c, err := from.described()
	if err != nil {
		return nil, err
	}
	shards, err := a.shards(ctx, c)
	if err != nil {
		return nil, err
	}
	at := a.env.Now()
	var all rows.All
	origin := "the databases on "
	for n, s := range shards {
		conn, node, err := synced(ctx, s)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			origin += ", "
		}
		origin += node
		all = append(all, rows.Running{Query: conn.Query})
	}
	f, err := rows.Load(ctx, all, need)
	if err != nil {
		return nil, err
	}
	f.From, f.At, f.Live = origin, at, true
	return f, nil
}

// synced finds a node of a shard that has its present data: the last of the inventory if it can be, since Kolla's proxy
// writes to the first.
func synced(ctx context.Context, s mariadb.Shard) (*mariadb.Conn, string, error) {
	errs := []error{fmt.Errorf("shard %d has no node that can be read", s.ID)}
	for _, n := range slices.Backward(s.Nodes) {
		conn, err := mariadb.Connect(ctx, n, mariadb.Login{User: s.User, Password: s.Password})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		st, err := conn.Status(ctx)
		switch {
		case err != nil:
			errs = append(errs, err)
		case st.Galera && !(st.Primary && st.Synced):
			errs = append(errs, fmt.Errorf("%s is %s", n.Name, st.State))
		default:
			return conn, n.Name, nil
		}
	}
	return nil, "", together(errs)
}

// together joins errors without a line for each.
func together(errs []error) error {
	err := errs[0]
	for _, more := range errs[1:] {
		err = fmt.Errorf("%w; %w", err, more)
	}
	return err
}

// copiedRows reads from the newest good logical copies in the vault, of which the oldest tells the moment.
func copiedRows(ctx context.Context, from setup, need rows.Need) (*rows.Facts, error) {
	copies, err := logicalCopies(ctx, from)
	if err != nil {
		return nil, err
	}
	var all rows.All
	var origin string
	var at time.Time
	for _, c := range copies {
		fsys, err := from.v.FS(ctx, c.point, mariadb.SourceName)
		if err != nil {
			return nil, err
		}
		files, err := fs.Sub(fsys, c.Path)
		if err != nil {
			return nil, err
		}
		all = append(all, rows.Copy{Files: files})
		if origin == "" || c.At.Before(at) {
			origin, at = "the logical copy in point "+c.point, *c.At
		}
	}
	f, err := rows.Load(ctx, all, need)
	if err != nil {
		return nil, err
	}
	f.From, f.At = origin, at
	return f, nil
}

// logicalCopy is a shard's newest good one.
type logicalCopy struct {
	point.Component
	point string
}

// logicalCopies finds the newest good copy of every shard, passing over points in which a verification found damage.
func logicalCopies(ctx context.Context, from setup) ([]logicalCopy, error) {
	if from.v == nil {
		return nil, errors.New("no vault is open")
	}
	findings, err := verify.Record{Dir: from.cfg.State}.Findings()
	if err != nil {
		return nil, err
	}
	points, err := from.v.Points(ctx)
	if err != nil {
		return nil, err
	}
	var found []logicalCopy
	for _, p := range slices.Backward(points) {
		for _, c := range p.Components {
			known := slices.ContainsFunc(found, func(l logicalCopy) bool { return l.Name == c.Name })
			if c.Source == mariadb.SourceName && c.Kind == point.Logical && c.State == point.Good && c.At != nil && !known && findings[p.ID].Damaged == 0 {
				found = append(found, logicalCopy{c, p.ID})
			}
		}
	}
	if len(found) == 0 {
		return nil, problem.New(problem.NotFound, "take one with: holdfast backup mariadb", "the vault has no logical copy")
	}
	return found, nil
}

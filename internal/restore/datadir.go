package restore

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/mariadb"
)

// Datadir brings the physical copy of one shard back as a prepared data directory on this machine, ready for a server
// of the version that wrote it.
type Datadir struct {
	r         *Restorer
	plan      Plan
	component point.Component
	to        string
	prepare   preparer
}

// prepareSpare is room for what preparing adds to a copy: redo and undo logs and temporary tablespaces.
const prepareSpare = 256 << 20

// Datadir plans the restore of a shard's physical copy into the directory to.
func (r *Restorer) Datadir(ctx context.Context, p point.Point, shard int, to string) (*Datadir, error) {
	c, err := physical(p, shard)
	if err != nil {
		return nil, err
	}
	d := &Datadir{r: r, component: c, to: to}
	d.plan = Plan{Title: "restore datadir", Point: p.ID}
	if err := emptyTarget(to); err != nil {
		d.plan.refuse("", "give a directory that does not exist yet, or an empty one", "%v", err)
	}
	need, err := r.componentSize(ctx, p.ID, c)
	if err != nil {
		return nil, err
	}
	free, err := FreeBytes(to)
	if err != nil {
		return nil, err
	}
	d.plan.needs(to, need+prepareSpare, free)
	d.prepare = r.preparer(ctx, p, c, &d.plan)
	d.plan.Steps = []string{
		fmt.Sprintf("write %s of %s (%s, server %s) to %s", size(need), c.Name, c.At.Format("2006-01-02 15:04:05 MST"), text(c.Identity, "server_version"), to),
		"prepare it with " + d.prepare.describe,
		fmt.Sprintf("give every file to %d:%d, as it was", number(c.Identity, "uid"), number(c.Identity, "gid")),
	}
	d.plan.Notes = append(d.plan.Notes, "no server is touched")
	return d, nil
}

// physical finds the good physical copy of a shard.
func physical(p point.Point, shard int) (point.Component, error) {
	return goodCopy(p, fmt.Sprintf("shard%d/physical", shard))
}

func goodCopy(p point.Point, name string) (point.Component, error) {
	return goodOf(p, mariadb.SourceName, name)
}

// goodOf finds the good copy of a component.
func goodOf(p point.Point, source, name string) (point.Component, error) {
	c, ok := p.Component(source, name)
	hint := "holdfast points shows which points hold a good one; latest:" + source + " finds the newest"
	if !ok {
		return c, problem.New(problem.NotFound, hint, "point %s holds no %s", p.ID, name)
	}
	if c.State != point.Good {
		return c, problem.New(problem.NotFound, hint, "%s is %s in point %s: %s", name, c.State, p.ID, c.Reason)
	}
	return c, nil
}

func (r *Restorer) componentSize(ctx context.Context, id string, c point.Component) (int64, error) {
	fsys, err := r.Vault.FS(ctx, id, c.Source)
	if err != nil {
		return 0, err
	}
	return treeSize(fsys, c.Path, nil)
}

// Plan returns what would be done.
func (d *Datadir) Plan() *Plan { return &d.plan }

// Execute writes and prepares the data directory.
func (d *Datadir) Execute(ctx context.Context) error {
	done, err := markIncomplete(d.to, d.plan.Point)
	if err != nil {
		return err
	}
	if err := d.r.component(ctx, d.plan.Point, d.component, d.to, nil); err != nil {
		return problem.Wrap(err, "restore", d.component.Name)
	}
	if err := d.r.step("prepare", func() error { return d.prepare.run(ctx, d.to) }); err != nil {
		return problem.Wrap(err, "prepare", d.to)
	}
	if err := giveTo(d.to, int(number(d.component.Identity, "uid")), int(number(d.component.Identity, "gid"))); err != nil {
		return problem.Wrap(err, "give to the server's user", d.to)
	}
	return done()
}

// giveTo makes the server's user own the directory and everything in it, and brings it to stable storage. Without root
// the files stay the operator's own.
func giveTo(dir string, uid, gid int) error {
	if os.Geteuid() == 0 {
		err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(name, uid, gid)
		})
		if err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// text returns an identity's value as text, "" when it is absent.
func text(id map[string]any, key string) string {
	if v, ok := id[key]; ok && v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// number returns an identity's value as a number; JSON made it a float.
func number(id map[string]any, key string) int64 {
	switch v := id[key].(type) {
	case float64:
		return int64(v)
	case int64:
		return v
	case uint32:
		return int64(v)
	case int:
		return int64(v)
	}
	return 0
}

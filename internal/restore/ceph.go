package restore

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/ceph"
)

// cephCopy is the metadata of a cluster in a point, opened.
type cephCopy struct {
	component point.Component
	fsys      fs.FS
	contents  ceph.Contents
}

// read returns a file of the copy, nil if it has none of that name.
func (c cephCopy) read(name string) ([]byte, error) {
	for _, e := range c.contents.Files {
		if e.File == name && (e.State == ceph.Present || e.State == ceph.Incomplete) {
			return fs.ReadFile(c.fsys, path.Join(c.component.Path, name))
		}
	}
	return nil, nil
}

// cephCopy finds what a point holds of a cluster; an empty name means the only one.
func (r *Restorer) cephCopy(ctx context.Context, p point.Point, cluster string) (c cephCopy, err error) {
	if c.component, err = clusterIn(p, cluster); err != nil {
		return c, err
	}
	if c.fsys, err = r.Vault.FS(ctx, p.ID, ceph.SourceName); err != nil {
		return c, err
	}
	text, err := fs.ReadFile(c.fsys, path.Join(c.component.Path, ceph.ContentsName))
	if err != nil {
		return c, err
	}
	c.contents, err = ceph.ParseContents(text)
	return c, err
}

func clusterIn(p point.Point, name string) (point.Component, error) {
	var found []point.Component
	var names []string
	for _, c := range p.Components {
		if c.Source == ceph.SourceName && usable(c) {
			names = append(names, c.Name)
			if name == "" || c.Name == name {
				found = append(found, c)
			}
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(names) == 0:
		return point.Component{}, problem.New(problem.NotFound, "holdfast points shows which points hold ceph", "point %s holds no metadata of Ceph", p.ID)
	case len(found) == 0:
		return point.Component{}, problem.New(problem.NotFound, "it holds "+strings.Join(names, ", "), "point %s holds no cluster %q", p.ID, name)
	}
	return point.Component{}, problem.New(problem.Usage, "choose one with --cluster", "point %s holds the clusters %s", p.ID, strings.Join(names, ", "))
}

// CephCluster is the name of the cluster whose metadata a point holds: name, or when that is empty the only one there is.
func CephCluster(p point.Point, name string) (string, error) {
	c, err := clusterIn(p, name)
	return c.Name, err
}

// Ceph brings the metadata of a Ceph cluster back as files, with a plan of which command takes each one back.
type Ceph struct {
	r    *Restorer
	plan Plan
	copy cephCopy
	to   string
}

// Ceph plans to write the metadata of a cluster into the directory to.
func (r *Restorer) Ceph(ctx context.Context, p point.Point, cluster, to string) (*Ceph, error) {
	c, err := r.cephCopy(ctx, p, cluster)
	if err != nil {
		return nil, err
	}
	name := c.component.Name
	k := &Ceph{r: r, copy: c, to: to, plan: Plan{Title: "restore ceph " + name, Point: p.ID}}
	if err := emptyTarget(to); err != nil {
		k.plan.refuse("", "give a directory that does not exist yet, or an empty one", "%v", err)
	}
	need, err := treeSize(c.fsys, c.component.Path, nil)
	if err != nil {
		return nil, problem.Wrap(err, "restore", name)
	}
	free, err := FreeBytes(to)
	if err != nil {
		return nil, err
	}
	k.plan.needs(to, need, free)
	k.plan.Steps = []string{fmt.Sprintf("write what cluster %s (%s) knew of itself, %s, to %s", name, c.contents.FSID, size(need), to)}
	k.plan.Notes = append(k.plan.Notes, "no cluster is touched", "the files hold the cluster's keys")
	if c.component.State == point.ComponentPartial {
		k.plan.Notes = append(k.plan.Notes, c.component.Reason)
	}
	k.plan.Outcome = []string{"which command takes each file back, and in which order: " + filepath.Join(to, ceph.PlanName)}
	return k, nil
}

// Plan returns what would be done.
func (k *Ceph) Plan() *Plan { return &k.plan }

// Execute writes the files.
func (k *Ceph) Execute(ctx context.Context) error {
	done, err := markIncomplete(k.to, k.plan.Point)
	if err != nil {
		return err
	}
	if err := k.r.component(ctx, k.plan.Point, k.copy.component, k.to, nil); err != nil {
		return problem.Wrap(err, "restore ceph", k.copy.component.Name)
	}
	return done()
}

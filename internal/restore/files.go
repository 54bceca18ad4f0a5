package restore

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

// Files brings files of a point back as they were, into a directory of the operator's choice.
type Files struct {
	r    *Restorer
	plan Plan
	to   string
	sets []fileSet
}

// fileSet is what is wanted of one component; no paths mean all of it.
type fileSet struct {
	component point.Component
	paths     []string // relative to the component's tree
}

// Files plans the restore of paths into the directory to. A path begins with a component's name and goes on inside
// its tree, "ctl1/etc/kolla/globals.yml" or "ctl1:/etc/kolla"; with a source in front when the component is not one of
// kolla's, "mariadb/shard0/logical/nova". No paths mean every component of files.
func (r *Restorer) Files(ctx context.Context, p point.Point, paths []string, to string) (*Files, error) {
	f := &Files{r: r, to: to}
	f.plan = Plan{Title: "restore files", Point: p.ID}
	if err := f.choose(p, paths); err != nil {
		return nil, err
	}
	var need int64
	for _, s := range f.sets {
		fsys, err := r.Vault.FS(ctx, p.ID, s.component.Source)
		if err != nil {
			return nil, err
		}
		n, err := treeSize(fsys, s.component.Path, s.paths)
		if problem.KindOf(err) == problem.Damage {
			return nil, problem.Wrap(err, "restore", s.component.Name)
		}
		if err != nil {
			return nil, problem.New(problem.NotFound, "holdfast show "+p.ID+" names the components; restore without a path brings all files back", "%s: %w", s.component.Name, err)
		}
		need += n
		f.plan.Steps = append(f.plan.Steps, fmt.Sprintf("write %s of %s (%s) to %s", what(s.paths), s.component.Name, size(n), path.Join(to, s.component.Name)))
	}
	return f, f.room(need)
}

func (f *Files) room(need int64) error {
	if err := emptyTarget(f.to); err != nil {
		f.plan.refuse("", "give a directory that does not exist yet, or an empty one", "%v", err)
	}
	free, err := FreeBytes(f.to)
	if err != nil {
		return err
	}
	f.plan.needs(f.to, need, free)
	return nil
}

// choose finds the component of each path.
func (f *Files) choose(p point.Point, paths []string) error {
	if len(paths) == 0 {
		for _, c := range p.Components {
			if c.Source == "kolla" && usable(c) {
				f.sets = append(f.sets, fileSet{component: c})
			}
		}
		if len(f.sets) == 0 {
			return problem.New(problem.NotFound, "holdfast points shows which points hold files", "point %s holds no files of kolla", p.ID)
		}
		return nil
	}
	for _, name := range paths {
		c, rest, err := componentOf(p, name)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(f.sets, func(s fileSet) bool { return s.component.Name == c.Name && s.component.Source == c.Source })
		if i < 0 {
			f.sets = append(f.sets, fileSet{component: c})
			i = len(f.sets) - 1
		}
		if rest != "" {
			f.sets[i].paths = append(f.sets[i].paths, rest)
		}
	}
	return nil
}

func usable(c point.Component) bool {
	return c.State == point.Good || c.State == point.ComponentPartial
}

// componentOf splits an operator's path into a component and the rest inside it.
func componentOf(p point.Point, name string) (point.Component, string, error) {
	for _, c := range p.Components {
		for _, prefix := range []string{c.Source + "/" + c.Name, c.Name} {
			rest, ok := strings.CutPrefix(strings.TrimPrefix(name, "/"), prefix)
			if !ok || rest != "" && rest[0] != '/' && rest[0] != ':' {
				continue
			}
			rest = strings.Trim(path.Clean(strings.TrimPrefix(rest, ":")), "/")
			if !usable(c) {
				return c, "", problem.New(problem.NotFound, "holdfast points shows other points", "%s is %s in point %s: %s", c.Name, c.State, p.ID, c.Reason)
			}
			if rest == "." {
				rest = ""
			}
			return c, rest, nil
		}
	}
	return point.Component{}, "", problem.New(problem.NotFound, "holdfast show "+p.ID+" names the components", "no component of point %s holds %q", p.ID, name)
}

func what(paths []string) string {
	switch len(paths) {
	case 0:
		return "everything"
	case 1:
		return paths[0]
	}
	return fmt.Sprintf("%d paths", len(paths))
}

// treeSize adds up the sizes of the wanted files below root; a wanted path that is not there is an error.
func treeSize(fsys fs.FS, root string, only []string) (int64, error) {
	for _, o := range only {
		_, err := lstat(fsys, path.Join(root, o))
		if problem.KindOf(err) == problem.Damage {
			return 0, err
		}
		if err != nil {
			return 0, fmt.Errorf("%q is not in it", o)
		}
	}
	var total int64
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		if rel != "" && !wanted(rel, only) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() {
			info, err := d.Info()
			if err != nil {
				return err
			}
			total += info.Size()
		}
		return nil
	})
	return total, err
}

// Plan returns what would be done.
func (f *Files) Plan() *Plan { return &f.plan }

// Execute writes the files. A target that was not finished keeps a file named Incomplete.
func (f *Files) Execute(ctx context.Context) error {
	done, err := markIncomplete(f.to, f.plan.Point)
	if err != nil {
		return err
	}
	for _, s := range f.sets {
		if err := f.r.component(ctx, f.plan.Point, s.component, path.Join(f.to, s.component.Name), s.paths); err != nil {
			return problem.Wrap(err, "restore files", s.component.Name)
		}
	}
	return done()
}

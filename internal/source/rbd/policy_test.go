package rbd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/cephcmd"
	"holdfast/internal/config"
	"holdfast/internal/host"
	"holdfast/internal/rows"
	"holdfast/internal/source"
)

func id(n string) string { return "00000000-0000-4000-8000-00000000000" + n }

// What is in the pools, by what the databases say of it.
var (
	gold    = "volumes/volume-" + id("1")
	scratch = "volumes/volume-" + id("2") // of project ci, with metadata
	renamed = "volumes/volume-" + id("3") // the id of its row is another
	lost    = "volumes/volume-" + id("4") // nothing knows it
	foreign = "volumes/backup-disk"
	kept    = "volumes/volume-" + id("5") + ".deleted"
	booted  = "images/" + id("6") // a server uses it
	cloned  = "images/" + id("7") // only a clone does
	idle    = "images/" + id("8")
	newest  = "images/" + id("9") // nothing knows it
	disk    = "vms/" + id("a") + "_disk"
)

var everything = []string{gold, scratch, renamed, lost, foreign, kept, booted, cloned, idle, newest, disk}

func pools() []pool {
	s, c := &Source{marker: newMarker("v")}, &Cluster{Cluster: cephcmd.Cluster{On: host.Local{}}}
	byName := map[string]*pool{}
	all := make([]pool, 3)
	for n, name := range []string{"volumes", "images", "vms"} {
		all[n] = pool{source: s, cluster: c, Pool: Pool{Name: name}}
		byName[name] = &all[n]
	}
	for n, component := range everything {
		name, image, _ := strings.Cut(component, "/")
		listed := cephcmd.Image{Name: image, Size: int64(n+1) << 30}
		if component == foreign {
			listed.Parent = &cephcmd.Parent{Pool: "images", Image: id("7"), Snapshot: "snap"}
		}
		if name == "images" {
			listed.Snapshots = []cephcmd.Snapshot{{ID: 1, Name: GlanceSnapshot, Protected: true}}
		}
		byName[name].images = append(byName[name].images, listed)
	}
	return all
}

func facts(live bool) *rows.Facts {
	ops, ci := rows.Project{ID: "p1", Name: "ops"}, rows.Project{ID: "p2", Name: "ci"}
	return &rows.Facts{
		From: "the databases on ctl1", At: time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC), Live: live,
		Volumes: map[string]rows.Volume{
			id("1"): {Project: ops, TypeID: "t1", Type: "gold"},
			id("2"): {Project: ci, TypeID: "t2", Type: "scratch", Metadata: map[string]string{"backup": "none", "team": "a"}},
			id("3"): {ID: id("f"), Project: ops, TypeID: "t2", Type: "scratch"},
		},
		Images: map[string]rows.Image{
			id("6"): {Project: ops}, id("7"): {Project: ci}, id("8"): {Project: ops},
		},
		Servers: map[string]rows.Server{id("a"): {Project: ci}},
		Used:    map[string]bool{id("6"): true},
	}
}

// chosen is what a policy leaves in, and what it has to tell.
func chosen(t *testing.T, p Policy) (names []string, plan source.Plan) {
	t.Helper()
	s, all := New(Options{Choose: p}), pools()
	s.held = map[string]*image{}
	j := s.judge(t.Context(), all)
	for n := range all {
		s.planPool(&all[n], nil, j, &plan)
	}
	for _, task := range plan.Tasks {
		names = append(names, task.Name)
	}
	plan.Notes = j.told()
	return names, plan
}

func live(context.Context, rows.Need) (*rows.Facts, error) { return facts(true), nil }

func old(context.Context, rows.Need) (*rows.Facts, error) { return facts(false), nil }

func down(context.Context, rows.Need) (*rows.Facts, error) { return nil, errors.New("nobody answers") }

// without is everything that can be captured but those.
func without(names ...string) (rest []string) {
	for _, name := range everything {
		if name != kept && !strings.Contains(strings.Join(names, " ")+" ", name+" ") {
			rest = append(rest, name)
		}
	}
	return rest
}

type selectors = []config.Selector

func TestPolicy(t *testing.T) {
	for name, tc := range map[string]struct {
		include, exclude   selectors
		live, old, unknown []string // what is captured when the databases answer, when a copy does, and when nothing does
	}{
		"everything": {live: without(), old: without(), unknown: without()},
		"one pool": {
			include: selectors{{Pool: "images"}},
			live:    []string{booted, cloned, idle, newest}, old: []string{booted, cloned, idle, newest}, unknown: []string{booted, cloned, idle, newest},
		},
		"not by name": {exclude: selectors{{Name: "volume-*"}}, live: without(gold, scratch, renamed, lost), old: without(gold, scratch, renamed, lost), unknown: without(gold, scratch, renamed, lost)},
		"by size": {
			include: selectors{{Larger: 2 << 30, Smaller: 5 << 30}},
			live:    []string{renamed, lost}, old: []string{renamed, lost}, unknown: []string{renamed, lost},
		},
		"by type": {
			include: selectors{{VolumeType: "gold"}},
			live:    []string{gold, foreign}, old: []string{gold, lost, foreign}, unknown: []string{gold, scratch, renamed, lost, foreign},
		},
		"not by type's id": {exclude: selectors{{VolumeType: "t2"}}, live: without(scratch, renamed), old: without(scratch, renamed), unknown: without()},
		"not by metadata":  {exclude: selectors{{Metadata: map[string]string{"backup": "none", "team": "a"}}}, live: without(scratch), old: without(scratch), unknown: without()},
		"other metadata":   {exclude: selectors{{Metadata: map[string]string{"backup": "none", "team": "b"}}}, live: without(), old: without(), unknown: without()},
		"not by project": {
			exclude: selectors{{Project: "ci"}},
			live:    without(scratch, cloned, disk), old: without(scratch, cloned, disk), unknown: without(),
		},
		"by project's id": {
			include: selectors{{Project: "p1"}},
			live:    []string{gold, renamed, foreign, booted, idle}, old: []string{gold, renamed, lost, foreign, booted, idle, newest}, unknown: without(),
		},
		"used": {
			include: selectors{{Pool: "images", Usage: config.Used}},
			live:    []string{booted, cloned}, old: []string{booted, cloned, newest}, unknown: []string{booted, cloned, idle, newest},
		},
		"not the unused": {exclude: selectors{{Usage: config.Unused}}, live: without(idle, newest), old: without(idle), unknown: without()},
		"all of a selector": {
			exclude: selectors{{Project: "ops", VolumeType: "scratch"}, {Pool: "vms", VolumeType: "gold"}},
			live:    without(renamed), old: without(renamed), unknown: without(),
		},
		"both": {
			include: selectors{{VolumeType: "scratch"}, {Pool: "images"}}, exclude: selectors{{Project: "ci"}},
			live: []string{renamed, foreign, booted, idle, newest}, old: []string{renamed, lost, foreign, booted, idle, newest},
			unknown: []string{gold, scratch, renamed, lost, foreign, booted, cloned, idle, newest},
		},
	} {
		for _, way := range []struct {
			name string
			rows func(context.Context, rows.Need) (*rows.Facts, error)
			want []string
		}{{"live", live, tc.live}, {"old", old, tc.old}, {"down", down, tc.unknown}} {
			got, plan := chosen(t, Policy{Include: tc.include, Exclude: tc.exclude, Rows: way.rows})
			if diff := cmp.Diff(way.want, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, way.name, diff)
			}
			for _, task := range plan.Skipped {
				if task.Required || !strings.Contains(task.Reason, "rbd.") && task.Name != kept {
					t.Errorf("%s: %+v", name, task)
				}
			}
		}
	}
}

func TestReasonsAndNotes(t *testing.T) {
	exclude := selectors{{Name: "x*"}, {Pool: "volumes", Metadata: map[string]string{"backup": "none"}}}
	_, plan := chosen(t, Policy{Exclude: exclude, Rows: live})
	if got := plan.Skipped[0]; got.Name != scratch || got.Reason != "excluded by rbd.exclude[1]: pool=volumes, metadata.backup=none" {
		t.Errorf("%+v", got)
	}
	want := []string{
		"which images are captured was decided by the databases on ctl1, as of 2026-11-22 18:00:00 UTC",
		"captured since nothing tells whether the rules want them (1): " + foreign,
	}
	if diff := cmp.Diff(want, plan.Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	include := selectors{{VolumeType: "glod"}, {Pool: "volumes"}, {VolumeType: "scratch"}}
	_, plan = chosen(t, Policy{Include: include, Exclude: selectors{{Project: "ci"}}, Rows: live})
	if n := len(plan.Notes); n < 2 || plan.Notes[1] != "rbd.include[0] fits no image: volume_type=glod" || strings.Contains(plan.Notes[n-1], "include[") {
		t.Errorf("notes: %q", plan.Notes)
	}
	_, plan = chosen(t, Policy{Include: selectors{{Name: "none"}, {VolumeType: "glod"}}, Rows: old})
	if n := len(plan.Notes); n < 2 || plan.Notes[1] != "rbd.include[0] fits no image: name=none" || strings.Contains(plan.Notes[n-1], "include[") {
		t.Errorf("notes: %q", plan.Notes)
	}
	_, plan = chosen(t, Policy{Exclude: exclude, Rows: down})
	if len(plan.Notes) != 1 || !strings.Contains(plan.Notes[0], "every image is captured which the rules may want: nobody answers") {
		t.Errorf("notes: %q", plan.Notes)
	}
}

func TestDatabasesAreAskedOnlyForWhatMatters(t *testing.T) {
	for name, tc := range map[string]struct {
		s    config.Selector
		want rows.Need
	}{
		"name":    {config.Selector{Pool: "volumes", Name: "a*", Larger: 1}, rows.Need{}},
		"type":    {config.Selector{VolumeType: "gold"}, rows.Need{Volumes: true}},
		"project": {config.Selector{Project: "ci"}, rows.Need{Volumes: true, Images: true, Servers: true}},
		"usage":   {config.Selector{Usage: config.Used}, rows.Need{Volumes: true, Images: true, Servers: true}},
	} {
		var asked rows.Need
		chosen(t, Policy{Include: selectors{tc.s}, Rows: func(_ context.Context, need rows.Need) (*rows.Facts, error) {
			asked = need
			return facts(true), nil
		}})
		if asked != tc.want {
			t.Errorf("%s: %+v, want %+v", name, asked, tc.want)
		}
	}
}

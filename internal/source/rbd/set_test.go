package rbd

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/config"
	"holdfast/internal/point"
	"holdfast/internal/rows"
	"holdfast/internal/source"
)

// planned is a source that has planned the pools of the policy's tests, for a cloud with these servers.
func planned(t *testing.T, live bool, freeze *Freeze, servers ...rows.Server) (*Source, []source.Task) {
	t.Helper()
	f := facts(live)
	f.Servers = map[string]rows.Server{}
	for _, v := range servers {
		f.Servers[v.ID] = v
	}
	s, all := New(Options{Servers: true, Freeze: freeze}), pools()
	s.held, s.facts = map[string]*image{}, f
	j := &judge{facts: f, servers: true, freeze: freeze}
	var plan source.Plan
	for n := range all {
		s.planPool(&all[n], nil, j, &plan)
	}
	return s, plan.Tasks
}

// server runs, and has the disk or the volumes that the tests of the policy know by these digits.
func server(disk string, volumes ...string) rows.Server {
	v := rows.Server{ID: id(disk), Name: "server-" + disk, Host: "cmp1", Status: "active"}
	for _, n := range volumes {
		v.Volumes = append(v.Volumes, id(n))
	}
	return v
}

// shown is what the sets of servers are: what is in them, and whether they are to stand still or why not.
func shown(s *Source, tasks []source.Task) map[string]string {
	out := map[string]string{}
	for _, k := range s.sets(tasks, make([]source.Held, len(tasks))) {
		if k.server == nil {
			continue
		}
		var names []string
		for _, m := range k.members {
			names = append(names, m.component)
		}
		switch {
		case !k.wanted:
			names = append(names, "as it is")
		case k.why != "":
			names = append(names, "not: "+k.why)
		default:
			names = append(names, "still")
		}
		out[k.server.ID] = strings.Join(names, ", ")
	}
	return out
}

func TestSetsOfServers(t *testing.T) {
	stopped, nowhere, deleted := server("a", "1"), server("a", "1"), server("a", "1")
	stopped.Status, nowhere.Host, deleted.Deleted = "stopped", "", true
	own := server("b", "1", "2")
	for name, tc := range map[string]struct {
		freeze  *Freeze
		old     bool
		servers []rows.Server
		want    map[string]string
	}{
		"a disk and volumes": {
			freeze: &Freeze{}, servers: []rows.Server{server("a", "1", "3", "0"), server("b", "2")},
			want: map[string]string{id("a"): gold + ", " + renamed + ", " + disk + ", still", id("b"): scratch + ", still"},
		},
		"nobody asked": {servers: []rows.Server{own}, want: map[string]string{id("b"): gold + ", " + scratch + ", as it is"}},
		"stopped":      {freeze: &Freeze{}, servers: []rows.Server{stopped}, want: map[string]string{id("a"): gold + ", " + disk + ", not: it does not run, but is stopped"}},
		"nowhere":      {freeze: &Freeze{}, servers: []rows.Server{nowhere}, want: map[string]string{id("a"): gold + ", " + disk + ", not: it is on no compute"}},
		"deleted":      {freeze: &Freeze{}, servers: []rows.Server{deleted}, want: map[string]string{}},
		"from a copy":  {freeze: &Freeze{}, old: true, servers: []rows.Server{own}, want: map[string]string{id("b"): gold + ", " + scratch + ", not: no running database tells where the server is"}},
		"shared": {
			freeze: &Freeze{}, servers: []rows.Server{server("a", "1"), server("b", "1", "2"), server("c", "3")},
			want: map[string]string{
				id("a"): gold + ", " + disk + ", not: " + gold + " is attached to several servers",
				id("b"): scratch + ", not: " + gold + " is attached to several servers",
				id("c"): renamed + ", still",
			},
		},
		"by type": {
			freeze:  &Freeze{Include: selectors{{VolumeType: "gold"}}},
			servers: []rows.Server{own, server("a")},
			want:    map[string]string{id("b"): gold + ", " + scratch + ", still", id("a"): disk + ", as it is"},
		},
		"not by metadata": {
			freeze:  &Freeze{Exclude: selectors{{Metadata: map[string]string{"team": "a"}}}},
			servers: []rows.Server{own, server("a")},
			want:    map[string]string{id("b"): gold + ", " + scratch + ", as it is", id("a"): disk + ", still"},
		},
	} {
		s, tasks := planned(t, !tc.old, tc.freeze, tc.servers...)
		if diff := cmp.Diff(tc.want, shown(s, tasks)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// unchangedSet is one of two images that were last captured with these proofs.
func unchangedSet(proofs ...map[string]any) *set {
	k := &set{source: New(Options{Freeze: &Freeze{}}), server: &rows.Server{ID: "s", Name: "web"}, wanted: true}
	p := &pool{source: k.source}
	for n, proof := range proofs {
		i := &image{pool: p, component: id("1")}
		i.Name = "volume-" + id(string(rune('1'+n)))
		i.copy = &Copy{Component: point.Component{Identity: map[string]any{"server": "s"}, Proof: proof}}
		t := source.Task{Mode: point.Unchanged, At: time.Unix(int64(100+3*n), 0)}
		k.members = append(k.members, &member{i, t, &source.Held{Task: t}})
	}
	return k
}

// TestUnchangedImagesKeepTheirWordTogether: copies that were not made in one freeze are not consistent with each other.
func TestUnchangedImagesKeepTheirWordTogether(t *testing.T) {
	frozen := func(name string) map[string]any { return map[string]any{"consistency": point.Frozen, "freeze": name} }
	if k := unchangedSet(frozen("p1"), frozen("p1")); !k.settled() || !k.stood {
		t.Error("two copies of one freeze are not kept")
	} else if k.tell(nil); k.members[1].held.Task.Proof != nil || k.members[0].held.Task.Identity["server"] != "s" {
		t.Errorf("what they prove was changed: %+v", k.members[1].held.Task)
	}
	for name, k := range map[string]*set{
		"two freezes":   unchangedSet(frozen("p1"), frozen("p2")),
		"one freeze":    unchangedSet(frozen("p1"), map[string]any{"consistency": point.Crash}),
		"another's":     unchangedSet(frozen("p1"), frozen("p1")),
		"none":          unchangedSet(map[string]any{}, map[string]any{}),
		"not any more":  unchangedSet(frozen("p1"), frozen("p1")),
		"it is changed": unchangedSet(frozen("p1"), frozen("p1")),
	} {
		switch name {
		case "another's":
			k.members[1].copy.Component.Identity["server"] = "other"
		case "not any more":
			k.server = nil
			k.wanted = false
		case "it is changed":
			k.members[1].held.Task.Mode = point.Incremental
		}
		if settled := k.settled(); settled != (name == "not any more") || k.stood {
			t.Errorf("%s: settled %v, stood still %v", name, settled, k.stood)
		}
		k.tell(nil)
		proof := k.members[0].held.Task.Proof
		if proof["consistency"] != point.Crash || proof["freeze"] != nil {
			t.Errorf("%s: %v", name, proof)
		}
		if want := map[bool]any{false: 3.0, true: nil}[k.server == nil]; name != "it is changed" && proof["server_skew_seconds"] != want {
			t.Errorf("%s: %v", name, proof)
		}
	}
}

func TestWishesNeedTheDatabases(t *testing.T) {
	j := &judge{freeze: &Freeze{Include: selectors{{Project: "ops"}}}}
	p := pools()
	i := p[0].image(p[0].images[0])
	if got := j.wish(i); got != noWish {
		t.Errorf("a server that nobody knows is %v", got)
	}
	j.freeze = &Freeze{Exclude: []config.Selector{{Project: "ops"}}}
	if got := j.wish(i); got != notToFreeze {
		t.Errorf("one that may be excluded is %v", got)
	}
}

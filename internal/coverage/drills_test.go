package coverage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/point"
)

// drilledAgo is a drill of both copies of a shard.
func drilledAgo(age time.Duration, s point.DrillState) point.Drill {
	return point.Drill{
		ID: "d", Point: "1", Tier: "local", Source: "mariadb", Started: coverNow.Add(-age), State: s,
		Parts: []point.DrillPart{{Component: "shard0/logical", State: s}, {Component: "shard0/physical", State: s}},
	}
}

func in(tier string, d point.Drill) point.Drill {
	d.Tier = tier
	return d
}

// ofShard makes a drill one of another shard.
func ofShard(n int, d point.Drill) point.Drill {
	d.Shard = n
	d.Parts = []point.DrillPart{{Component: fmt.Sprintf("shard%d/logical", n), State: d.State}, {Component: fmt.Sprintf("shard%d/physical", n), State: d.State}}
	return d
}

// TestDrillsOfShards: what was found in one shard is not undone by a drill of another, and who is to drill is told of which.
func TestDrillsOfShards(t *testing.T) {
	wrong, right := drilledAgo(2*config.Day, point.Differs), ofShard(1, drilledAgo(config.Day, point.Proven))
	for _, test := range []struct {
		name   string
		drills []point.Drill
		says   []string
	}{
		{"the other right", []point.Drill{wrong, right}, []string{"mariadb shard0/logical: holdfast drill mariadb --shard 0", "the last drill of shard 0"}},
		{"the other never", []point.Drill{drilledAgo(config.Day, point.Proven)}, []string{"mariadb shard1/logical: holdfast drill mariadb --shard 1"}},
		{"both wrong", []point.Drill{wrong, ofShard(1, wrong)}, []string{"shard0/logical", "the last drill of shard 1", "the last drill of shard 0"}},
		{"both right", []point.Drill{right, drilledAgo(config.Day, point.Proven)}, nil},
	} {
		tiers := []Tier{{Tier: "local", Held: []point.Point{aged("1", time.Hour, "mariadb shard0/logical", "mariadb shard1/logical")}, Drills: test.drills}}
		all := components(allPoints(tiers), nil, coverNow)
		found := judgeDrills(all, coverDrills(all, tiers), config.Promises{}, coverNow)
		ok := len(found) == len(test.says)
		for i := range found {
			ok = ok && strings.Contains(found[i].Text, test.says[i])
		}
		if !ok {
			t.Errorf("%s: %+v", test.name, found)
		}
	}
}

// TestDrillsOfGoneShard: what the last drill of a shard found is over once the shard is gone from the cloud, or from all points.
func TestDrillsOfGoneShard(t *testing.T) {
	wrong := ofShard(1, drilledAgo(2*config.Day, point.Differs))
	both, one := []string{"mariadb shard0/logical", "mariadb shard1/logical"}, []string{"mariadb shard0/logical"}
	for _, test := range []struct {
		name string
		held []point.Point
		want int
	}{
		{"it is there", []point.Point{aged("1", time.Hour, both...)}, 1},
		{"the cloud has it no more", []point.Point{aged("1", config.Day, both...), aged("2", time.Hour, one...)}, 0},
		{"no point has it any more", []point.Point{aged("2", time.Hour, one...)}, 0},
	} {
		tiers := []Tier{{Tier: "local", Held: test.held, Drills: []point.Drill{wrong, drilledAgo(config.Day, point.Proven)}}}
		o := Overview{Tiers: tiers}
		o.Judge([]string{"mariadb"}, config.Promises{}, coverNow)
		found := 0
		for _, b := range o.Broken {
			if b.Promise == "drill" && b.Tier == "local" {
				found++
			}
		}
		if found != test.want {
			t.Errorf("%s: %+v", test.name, o.Broken)
		}
	}
}

// TestDrillsPromised says what is told of drills that are late, went wrong, or never were.
func TestDrillsPromised(t *testing.T) {
	const month = 30 * config.Day
	copies := []string{"mariadb shard0/logical", "mariadb shard0/physical", "mariadb image/1", "kolla ctl1"}
	for _, test := range []struct {
		name    string
		drills  []point.Drill
		promise time.Duration
		says    []string
	}{
		{"none, and none promised", nil, 0, nil},
		{"none, and one promised", nil, month, []string{"no drill of the last 30d"}},
		{"lately", []point.Drill{drilledAgo(month, point.Proven)}, 0, nil},
		{"long ago", []point.Drill{drilledAgo(40*config.Day, point.Proven)}, 0, []string{"no drill of the last 35d"}},
		{"later than promised", []point.Drill{drilledAgo(20*config.Day, point.Proven)}, 2 * config.Day, []string{"no drill of the last 2d"}},
		{"wrong since", []point.Drill{drilledAgo(10*config.Day, point.Proven), drilledAgo(config.Day, point.Differs)}, 0, []string{"holdfast show 1 --tier local"}},
		{"right again", []point.Drill{drilledAgo(10*config.Day, point.Differs), drilledAgo(config.Day, point.Proven)}, 0, nil},
		{"wrong elsewhere", []point.Drill{in("s3", drilledAgo(10*config.Day, point.Differs)), drilledAgo(config.Day, point.Proven)}, 0, []string{"holdfast show 1 --tier s3"}},
		{"not done", []point.Drill{drilledAgo(10*config.Day, point.Proven), drilledAgo(config.Day, point.Undone)}, 0, nil},
	} {
		tiers := []Tier{{Tier: "local", Held: []point.Point{aged("1", time.Hour, copies...)}}, {Tier: "far", Drills: test.drills}}
		all := components(allPoints(tiers), nil, coverNow)
		found := judgeDrills(all, coverDrills(all, tiers), config.Promises{Drill: test.promise}, coverNow)
		if len(found) != len(test.says) {
			t.Errorf("%s: %+v", test.name, found)
			continue
		}
		for i, text := range test.says {
			if !strings.Contains(found[i].Text, text) || found[i].Promise != "drill" {
				t.Errorf("%s: %+v", test.name, found[i])
			}
		}
	}
}

// TestDarken: after a look that saw nothing every tier is shut, and what else was broken stays so.
func TestDarken(t *testing.T) {
	o := Overview{Tiers: []Tier{{Tier: "local"}, {Tier: "s3", Error: "gone"}}, Broken: []Broken{{"tier", "s3", "", "gone"}, {"copies", "", "", "one"}}}
	dark := o
	dark.Darken("nobody answers")
	var keys []string
	for _, b := range dark.Broken {
		keys = append(keys, b.Promise+" "+b.Tier)
	}
	if got := strings.Join(keys, ", "); got != "copies , tier local, tier s3" || dark.Tiers[0].Error != "nobody answers" || o.Tiers[0].Error != "" || len(o.Broken) != 2 {
		t.Errorf("%s, of %+v", got, o)
	}
}

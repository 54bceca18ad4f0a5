package job

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/config"
)

const three = `cloud: c
tiers:
  - {name: local, url: "file:///v"}
  - {name: disk, url: "file:///w", keep: 30d}
  - {name: offsite, url: "file:///x", keep: 1y}
kolla: {inventory: hosts}
mariadb: {user: b, password: {file: p}}
`

// chains are the steps of all jobs, each with what it uses.
func chains(t *testing.T, text string) map[string][]string {
	t.Helper()
	c, err := config.Parse("/etc/hf/holdfast.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, j := range c.Jobs() {
		for _, s := range Of(c, j).Steps {
			all[j.Name] = append(all[j.Name], strings.Join(s.Args, " ")+" ["+strings.Join(s.Uses, " ")+"]")
		}
	}
	return all
}

func TestChains(t *testing.T) {
	got := chains(t, three+"schedule:\n  mine: {when: every 4h, do: [kolla, doctor, mariadb], then: false}\n  own: {when: every 4h, do: [replicate offsite --from local, prune, verify, replicate]}\n")
	after := func(verify string) []string {
		return []string{
			verify + " --tier local [tier:local]", "replicate disk [tier:disk]", verify + " --tier disk [tier:disk]",
			"prune local --yes [tier:local]", "prune disk --yes [tier:disk]",
		}
	}
	want := map[string][]string{
		"database": append([]string{"backup mariadb [source:mariadb]"}, after("verify latest:mariadb")...),
		"config":   append([]string{"backup kolla [source:kolla]"}, after("verify latest:kolla")...),
		"cloud":    append([]string{"backup mariadb kolla [source:mariadb source:kolla]"}, after("verify --all")...),
		"offsite":  {"replicate offsite [tier:offsite]", "verify --all --tier offsite [tier:offsite]", "prune offsite --yes [tier:offsite]"},
		"drill":    {"drill mariadb --all-shards [drill]"},
		"mine":     {"backup kolla mariadb [source:kolla source:mariadb]", "doctor []"},
		"own":      {"replicate offsite --from local [tier:offsite]", "prune [tier:local tier:disk tier:offsite]", "verify [tier:local]", "replicate [tier:disk tier:offsite]"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := chains(t, three+"schedule: {offsite: off}\n")["config"]; len(got) != 9 || got[5] != "verify latest:kolla --tier offsite [tier:offsite]" || got[4] != "replicate offsite [tier:offsite]" {
		t.Errorf("without the job offsite: %q", got)
	}
}

func TestBlocked(t *testing.T) {
	c, err := config.Parse("/etc/hf/holdfast.yml", []byte(three))
	if err != nil {
		t.Fatal(err)
	}
	done := func(kind string, args ...string) Result {
		s := NewStep(c, args)
		r := Result{Args: args, Sources: s.Sources(), Kind: kind}
		if kind != "" {
			r.Exit = 1
		}
		if len(s.Tiers()) == 1 {
			r.Tier = s.Tiers()[0]
		}
		return r
	}
	for _, k := range []struct {
		step    string
		earlier Result
		want    bool
	}{
		{"prune local --yes", done("", "backup", "kolla"), false},
		{"prune local --yes", done("failed", "backup", "kolla"), true},
		{"prune local --yes", done("partial", "backup", "kolla"), false},
		{"replicate disk", done("failed", "backup", "kolla"), false},
		{"verify --tier disk", done("unreachable", "replicate", "disk"), true},
		{"verify --tier local", done("unreachable", "replicate", "disk"), false},
		{"prune disk --yes", done("damage", "verify", "--tier", "disk"), true},
		{"prune local --yes", done("unreachable", "replicate", "disk"), false},
		{"drill mariadb", done("failed", "backup", "mariadb"), true},
	} {
		if got := NewStep(c, strings.Fields(k.step)).Blocked([]Result{k.earlier}); got != k.want {
			t.Errorf("%s after %s %q: %v", k.step, k.earlier.Args, k.earlier.Kind, got)
		}
	}
}

func TestPart(t *testing.T) {
	c, err := config.Parse("/etc/hf/holdfast.yml", []byte(three))
	if err != nil {
		t.Fatal(err)
	}
	steps := Of(c, c.Jobs()[0]).Steps
	var part []string
	for _, s := range Part(steps, 2) {
		part = append(part, strings.Join(s.Args, " "))
	}
	if diff := cmp.Diff([]string{"replicate disk", "verify latest:mariadb --tier disk", "prune disk --yes"}, part); diff != "" {
		t.Error(diff)
	}
}

// TestAim: what narrows a command line, or says where it looks, makes it another one, in whatever order.
func TestAim(t *testing.T) {
	for _, k := range []struct {
		one, other string
		same       bool
	}{
		{"backup mariadb", "backup kolla --limit 1MiB", true}, // they use other sources
		{"backup mariadb", "backup mariadb --only x", false},
		{"replicate disk", "replicate disk --point p1", false},
		{"replicate disk --from local", "replicate disk --from=local", true},
		{"prune disk --yes", "prune --tier disk", true},
		{"verify --all --tier disk", "verify --tier=disk --all", true},
		{"verify --all --tier disk", "verify latest:kolla --tier disk", false},
		{"drill mariadb", "drill mariadb --shard 1", false},
	} {
		if got := Aim(strings.Fields(k.one)) == Aim(strings.Fields(k.other)); got != k.same {
			t.Errorf("%s and %s: %v", k.one, k.other, got)
		}
	}
}

// TestPatternIsNoSource: a component that is named as a source is, and a point that is named as a tier is, are neither.
func TestPatternIsNoSource(t *testing.T) {
	c, err := config.Parse("/etc/hf/holdfast.yml", []byte(three))
	if err != nil {
		t.Fatal(err)
	}
	if got := NewStep(c, []string{"backup", "--only", "kolla"}).Sources(); len(got) != 2 {
		t.Errorf("it uses %q", got)
	}
	if got := NewStep(c, []string{"replicate", "--point", "disk"}).Tiers(); len(got) != 2 {
		t.Errorf("it uses %q", got)
	}
}

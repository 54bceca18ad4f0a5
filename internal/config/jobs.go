package config

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/internal/schedule"
)

// Sources are the sources that are configured.
func (c Config) Sources() []string {
	var names []string
	for _, s := range []struct {
		name string
		is   bool
	}{{"mariadb", c.MariaDB != nil}, {"kolla", len(c.Kolla.Inventory) > 0}, {"ceph", len(c.Ceph) > 0}, {"rbd", c.RBD != nil}} {
		if s.is {
			names = append(names, s.name)
		}
	}
	return names
}

// usual is when the default jobs are done.
var usual = []struct{ name, when string }{
	{"database", "daily at 02:00"},
	{"config", "daily at 03:00"},
	{"ceph", "weekly sunday 04:00"},
	{"cloud", "weekly saturday 22:00"},
	{"offsite", "monthly 1 05:00"},
	{"drill", "monthly 1 06:00"},
}

// defaultJob returns the job that has the name without being in the file, without its work; of another name, one that is as all jobs
// are about which nothing is said.
func defaultJob(name string) (j Job, known bool) {
	j = Job{Name: name, Then: true, CatchUp: true}
	for _, u := range usual {
		if u.name == name {
			j.When, known = u.when, true
		}
	}
	return j, known
}

// defaultWork is what the default job of a name does; nothing where it makes no sense.
func (c Config) defaultWork(name string) []string {
	sources := c.Sources()
	one := func(source string) []string {
		if slices.Contains(sources, source) {
			return []string{source}
		}
		return nil
	}
	switch name {
	case "database":
		return one("mariadb")
	case "config":
		return one("kolla")
	case "ceph":
		return one("ceph")
	case "cloud":
		if len(sources) > 1 || slices.Contains(sources, "rbd") {
			return sources
		}
	case "offsite":
		if t := c.Seldom(); t != "" {
			return []string{"replicate " + t, "verify --all --tier " + t, "prune " + t + " --yes"}
		}
	case "drill":
		if c.MariaDB != nil {
			return []string{"drill mariadb --all-shards"}
		}
	}
	return nil
}

// Seldom is the tier that only the job offsite brings points to: the last of three or more, unless that job is off.
func (c Config) Seldom() string {
	off := slices.ContainsFunc(c.Schedule.Jobs, func(j Job) bool { return j.Name == "offsite" && j.Off })
	if n := len(c.Tiers); n > 2 && !off {
		return c.Tiers[n-1].Name
	}
	return ""
}

func (c Config) defaultJobs() (all []Job) {
	for _, u := range usual {
		j, _ := defaultJob(u.name)
		if j.Do = c.defaultWork(j.Name); len(j.Do) > 0 {
			all = append(all, j)
		}
	}
	return all
}

// Jobs is what Holdfast does by itself: the default jobs, and in their place or behind them those of the file. What is off is left out.
func (c Config) Jobs() []Job {
	all := c.defaultJobs()
	for _, j := range c.Schedule.Jobs {
		if len(j.Do) == 0 {
			j.Do = c.defaultWork(j.Name)
		}
		if i := slices.IndexFunc(all, func(d Job) bool { return d.Name == j.Name }); i >= 0 {
			all[i] = j
		} else {
			all = append(all, j)
		}
	}
	all = slices.DeleteFunc(all, func(j Job) bool { return j.Off })
	for i := range all {
		all[i].Zone = cmp.Or(all[i].Zone, c.Schedule.Zone)
		all[i].Jitter = cmp.Or(all[i].Jitter, c.Schedule.Jitter)
	}
	return all
}

// Plan is when a job of Jobs is done.
func (c Config) Plan(j Job) (p schedule.Plan, err error) {
	p = schedule.Plan{Zone: time.Local, Jitter: j.Jitter, Seed: c.Cloud + " " + j.Name}
	if p.Rule, err = schedule.Parse(j.When); err != nil {
		return p, err
	}
	if j.Zone != "" {
		if p.Zone, err = time.LoadLocation(j.Zone); err != nil {
			return p, err
		}
	}
	if j.Window != "" {
		p.Window, err = schedule.ParseWindow(j.Window)
	}
	return p, err
}

// IsSource reports whether the first word of a job's work is a source.
func IsSource(what string) bool {
	first, _, _ := strings.Cut(what, " ")
	return slices.Contains(ruledSources, first)
}

// Promised is what status holds the tiers to: where the file does not say how old a copy may be, as old as the schedule lets it become,
// and a twelfth more for the run itself.
func (c Config) Promised() Promises {
	p := c.Promises
	if p.RPO != DefaultRPO {
		return p
	}
	p.Sources, p.Tiers = maps.Clone(p.Sources), maps.Clone(p.Tiers)
	longest := p.RPO
	for _, source := range c.Sources() {
		if gap := c.gap(source); gap > 0 && p.Sources[source] == 0 && late(gap) > p.RPO {
			set(&p.Sources, source, late(gap))
		}
		longest = max(longest, p.For(source))
	}
	tier := c.Seldom()
	for _, j := range c.Jobs() {
		if plan, err := c.Plan(j); j.Name == "offsite" && tier != "" && p.Tiers[tier] == 0 && err == nil {
			set(&p.Tiers, tier, late(plan.Rule.Gap())+longest)
		}
	}
	return p
}

func late(gap time.Duration) time.Duration { return gap + gap/12 }

func set(m *map[string]time.Duration, key string, d time.Duration) {
	if *m == nil {
		*m = map[string]time.Duration{}
	}
	(*m)[key] = d
}

// gap is how long the schedule lets pass at most between two backups of a source; 0 when it has none.
func (c Config) gap(source string) (shortest time.Duration) {
	for _, j := range c.Jobs() {
		backs := slices.ContainsFunc(j.Do, func(what string) bool {
			words := strings.Fields(what)
			return (IsSource(what) || words[0] == "backup") && slices.Contains(words, source) || what == "backup"
		})
		plan, err := c.Plan(j)
		if gap := plan.Rule.Gap(); backs && err == nil && (shortest == 0 || gap < shortest) {
			shortest = gap
		}
	}
	return shortest
}

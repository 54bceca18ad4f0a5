package job

import (
	"slices"
	"strings"

	"holdfast/internal/config"
)

// Of makes the chain of a job of the configuration. What is a backup, and is not told otherwise, is verified where it lies, brought to
// the next tiers and verified there; then what no rule wants leaves each of these tiers.
func Of(c *config.Config, j config.Job) Job {
	made := Job{Name: j.Name}
	var sources []string
	for _, what := range j.Do {
		if config.IsSource(what) {
			sources = append(sources, strings.Fields(what)...)
		}
	}
	taken := false // the backup of all sources stands where the first of them does
	backs := false
	for _, what := range j.Do {
		args := strings.Fields(what)
		if config.IsSource(what) {
			if taken {
				continue
			}
			args, taken = append([]string{"backup"}, sources...), true
		}
		backs = backs || args[0] == "backup"
		made.Steps = append(made.Steps, NewStep(c, args))
	}
	if backs && j.Then {
		for _, args := range following(c, sources) {
			made.Steps = append(made.Steps, NewStep(c, args))
		}
	}
	return made
}

// following is what comes after a backup of sources; none are all.
func following(c *config.Config, sources []string) (all [][]string) {
	verify := []string{"verify", "--all"}
	if len(sources) == 1 {
		verify = []string{"verify", "latest:" + sources[0]}
	}
	var prune [][]string
	for i, t := range c.Tiers {
		if t.Name == c.Seldom() {
			continue
		}
		if i > 0 {
			all = append(all, []string{"replicate", t.Name})
		}
		all = append(all, slices.Concat(verify, []string{"--tier", t.Name}))
		prune = append(prune, []string{"prune", t.Name, "--yes"})
	}
	return append(all, prune...)
}

// NewStep makes a step of a command line, which no other step may run beside that uses the same sources or tiers.
func NewStep(c *config.Config, args []string) Step { return Step{Args: args, Uses: Uses(c, args)} }

// Uses are the sources and tiers that a command line needs for itself: those that it names, else all that it is about.
func Uses(c *config.Config, args []string) []string {
	tiers := tierNames(c)
	switch (Step{Args: args}).Verb() {
	case "backup":
		return use("source:", named(args, c.Sources()), c.Sources())
	case "replicate":
		return use("tier:", named(args, tiers), tiers[1:])
	case "prune":
		return use("tier:", named(args, tiers), tiers)
	case "verify":
		return use("tier:", named(args, tiers), tiers[:1])
	case "drill":
		return []string{"drill"}
	}
	return nil
}

// use prefixes the names that are given, or else all.
func use(prefix string, given, all []string) (uses []string) {
	if len(given) == 0 {
		given = all
	}
	for _, name := range given {
		uses = append(uses, prefix+name)
	}
	return uses
}

// narrowing are the flags that have a command do a part of what it is about, or do it from elsewhere.
var narrowing = []string{"--only", "--point", "--from"}

// Aim is what sets a command line apart from others of its verb that use the same: all of it where it says where to look, as those of
// verifications and drills do, and where it is narrowed; in whatever order. It is "" of what does the whole.
func Aim(args []string) string {
	var words []string
	for _, w := range strings.Fields(strings.Join(args, " ")) {
		if strings.HasPrefix(w, "--") {
			w = strings.Replace(w, "=", " ", 1)
		}
		words = append(words, strings.Fields(w)...)
	}
	whole := !slices.ContainsFunc(words, func(w string) bool { return slices.Contains(narrowing, w) })
	if verb := (Step{Args: args}).Verb(); whole && verb != "verify" && verb != "drill" {
		return ""
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// named are the arguments that are one of the names; what narrows the work does not count.
func named(args, names []string) (found []string) {
	for i, a := range args {
		if i > 0 && slices.Contains(names, a) && !slices.Contains(narrowing, args[i-1]) {
			found = append(found, a)
		}
	}
	return found
}

func tierNames(c *config.Config) (names []string) {
	for _, t := range c.Tiers {
		names = append(names, t.Name)
	}
	return names
}

// Sources are those that the step uses.
func (s Step) Sources() []string { return s.used("source:") }

// Tiers are those that the step uses.
func (s Step) Tiers() []string { return s.used("tier:") }

func (s Step) used(prefix string) (names []string) {
	for _, u := range s.Uses {
		if name, ok := strings.CutPrefix(u, prefix); ok {
			names = append(names, name)
		}
	}
	return names
}

// Blocked reports whether a step has to be left out after what came of earlier ones of its run: nothing is verified, removed or drilled
// on the ground of a backup that failed, or of a tier at which something did.
func (s Step) Blocked(earlier []Result) bool {
	if !slices.Contains([]string{"verify", "prune", "drill"}, s.Verb()) {
		return false
	}
	return slices.ContainsFunc(earlier, func(r Result) bool {
		if r.Good() || r.Kind == "partial" {
			return false
		}
		return r.Step() == "backup" || r.Tier != "" && slices.Contains(s.Tiers(), r.Tier)
	})
}

// Part returns the steps of a chain that have to do with a tier, from step n on: what is tried again when that step failed.
func Part(steps []Step, n int) (part []Step) {
	tiers := steps[n].Tiers()
	part = append(part, steps[n])
	for _, s := range steps[n+1:] {
		if len(tiers) == 0 || slices.ContainsFunc(s.Tiers(), func(t string) bool { return slices.Contains(tiers, t) }) {
			part = append(part, s)
		}
	}
	return part
}

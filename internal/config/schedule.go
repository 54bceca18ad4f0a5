package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"holdfast/internal/schedule"
	"holdfast/internal/suggest"
)

// Schedule is what Holdfast does by itself, as far as the file says so; Config.Jobs tells the whole.
type Schedule struct {
	Zone   string        // in which jobs have their times; "" is that of the host
	Jitter time.Duration // by less than which jobs begin later
	Jobs   []Job         // of the file, in its order
}

// Job is something that is done by itself.
type Job struct {
	Name string
	Off  bool     // it is not done
	When string   // as schedule.Parse reads it
	Do   []string // sources, which are backed up into one point, and commands; none in the file is what the default job of the name does
	// Then makes a backup be followed by what brings its point to the next tiers, verifies it, and removes what no rule wants.
	Then    bool
	Zone    string        // "" is that of the schedule
	Jitter  time.Duration // 0 is that of the schedule
	Window  string        // HH:MM-HH:MM, in which it may begin; "" is always
	CatchUp bool          // a time that was missed is made up for, once
	Retry   Retry         // of what failed and is no tier's; zero is not tried again
}

// Serve is how the daemon works.
type Serve struct {
	Socket string        // "" is STATE/serve/socket
	Status time.Duration // how often it looks at all tiers when nothing runs; 0 is DefaultStatus
}

// DefaultStatus is how often the daemon looks at all tiers when nothing runs.
const DefaultStatus = 30 * time.Minute

// Bounds of how often the daemon looks.
const (
	leastStatus = time.Minute
	mostJitter  = 12 * time.Hour
)

// Socket is where the daemon is spoken to.
func (c Config) Socket() string {
	return cmp.Or(c.Serve.Socket, filepath.Join(c.State, "serve", "socket"))
}

// Doable are the commands that a job can do.
var Doable = []string{"backup", "replicate", "verify", "prune", "drill", "reconcile", "doctor", "status"}

// schedule reads zone and jitter, and every other key as a job of that name.
func (d *decoder) schedule(c *Config) reader {
	return func(n *yaml.Node, at string) {
		n = resolve(n)
		if n.Kind != yaml.MappingNode {
			d.fault(n, "write the name of a job and when it is done: database: daily at 02:00", "%s must be a set of jobs, not %s", at, describe(n))
			return
		}
		s := &c.Schedule
		fields := []field{optional("zone", d.zoneName(&s.Zone)), optional("jitter", d.jitter(&s.Jitter))}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if name := resolve(n.Content[i]).Value; !slices.Contains(keysOf(fields), name) {
				d.text(&name, aName)(n.Content[i], at)
				fields = append(fields, optional(name, func(n *yaml.Node, at string) { s.Jobs = append(s.Jobs, d.job(name, n, at)) }))
			}
		}
		d.mapping(n, at, fields...)
	}
}

// job reads "off", when a job is done, or all of it.
func (d *decoder) job(name string, n *yaml.Node, at string) Job {
	n = resolve(n)
	j, known := defaultJob(name)
	if n.Kind == yaml.ScalarNode && (n.Value == "off" || n.Value == "false") {
		j.Off = true
		return j
	}
	found := map[string]*yaml.Node{}
	if n.Kind == yaml.ScalarNode {
		found["when"] = n
		d.when(&j.When)(n, at)
	} else {
		found = d.mapping(n, at,
			field{"when", !known, d.when(&j.When)},
			field{"do", !known, list(d, &j.Do, d.doable)},
			optional("then", d.flag(&j.Then)),
			optional("zone", d.zoneName(&j.Zone)),
			optional("jitter", d.jitter(&j.Jitter)),
			optional("window", d.window(&j.Window)),
			optional("catch_up", d.flag(&j.CatchUp)),
			optional("retry", func(n *yaml.Node, at string) { j.Retry = d.retry(n, at) }),
		)
	}
	d.later = append(d.later, func(c Config) { d.checkJob(c, j, cmp.Or(found["do"], n), at) })
	return j
}

// checkJob holds a job to the sources that there are.
func (d *decoder) checkJob(c Config, j Job, n *yaml.Node, at string) {
	if len(j.Do) == 0 {
		j.Do = c.defaultWork(j.Name)
	}
	if len(j.Do) == 0 {
		_, known := defaultJob(j.Name)
		hint := "add do: with sources or commands"
		if known {
			hint = "configure what it is about, say what to do:, or write off"
		}
		d.fault(n, hint, "%s has nothing to do", at)
	}
	for _, what := range j.Do {
		for _, name := range strings.Fields(what) {
			if slices.Contains(ruledSources, name) && !slices.Contains(c.Sources(), name) && !strings.HasPrefix(what, "drill") {
				d.fault(n, "add it to the file, or take it out of the job", "%s: source %s is not configured", at, name)
			}
		}
	}
}

func (d *decoder) when(dst *string) reader {
	return d.parsed(func(n *yaml.Node) (wrong, hint string) {
		r, err := schedule.Parse(n.Value)
		if err != nil {
			return err.Error(), schedule.Forms
		}
		*dst = r.String()
		return "", ""
	})
}

// doable reads a command, or sources.
func (d *decoder) doable(n *yaml.Node, at string) (text string) {
	d.text(&text, func(_ *yaml.Node, text string) (wrong, hint string) {
		words := strings.Fields(text)
		if slices.Contains(ruledSources, words[0]) {
			words = slices.DeleteFunc(words, func(w string) bool { return slices.Contains(ruledSources, w) })
		} else if slices.Contains(Doable, words[0]) {
			words = nil
		}
		if len(words) == 0 {
			return "", ""
		}
		all := slices.Concat(ruledSources, Doable)
		return fmt.Sprintf("%q is neither a source nor a command of a job", words[0]), suggest.Hint(words[0], all, "one of "+strings.Join(all, ", "))
	})(n, at)
	return strings.Join(strings.Fields(text), " ")
}

func (d *decoder) zoneName(dst *string) reader {
	return func(n *yaml.Node, at string) {
		var k Keep
		d.zone(&k)(n, at)
		*dst = k.Zone
	}
}

func (d *decoder) jitter(dst *time.Duration) reader {
	return func(n *yaml.Node, at string) {
		if d.duration(dst)(n, at); *dst > mostJitter {
			d.fault(n, "", "%s is more than %s", at, FormatDuration(mostJitter))
		}
	}
}

func (d *decoder) window(dst *string) reader {
	return d.parsed(func(n *yaml.Node) (wrong, hint string) {
		w, err := schedule.ParseWindow(n.Value)
		if err != nil {
			return err.Error(), `write it in quotes, as "22:00-06:00"`
		}
		*dst = w.String()
		return "", ""
	})
}

// serve reads how the daemon works.
func (d *decoder) serve(c *Config) reader {
	return func(n *yaml.Node, at string) {
		found := d.mapping(n, at,
			optional("socket", d.path(&c.Serve.Socket)),
			optional("status", d.duration(&c.Serve.Status)),
		)
		if s := c.Serve.Status; s > 0 && s < leastStatus {
			d.fault(found["status"], "every look opens every tier", "%s is less than %s", join(at, "status"), FormatDuration(leastStatus))
		}
	}
}

func (w *writer) schedule(c Config) {
	s := c.Schedule
	w.line("")
	w.comment("What holdfast serve does by itself. A job: when it is done, or a set of keys, or off.")
	w.key("schedule", "", s.Zone == "" && s.Jitter == 0 && len(s.Jobs) == 0)
	w.nest("  ", func() {
		w.key("zone", quote(cmp.Or(s.Zone, "Europe/Paris")), s.Zone == "")
		w.key("jitter", FormatDuration(cmp.Or(s.Jitter, 10*time.Minute)), s.Jitter == 0)
		named := map[string]bool{}
		for _, j := range s.Jobs {
			named[j.Name] = true
		}
		for _, j := range c.defaultJobs() {
			if !named[j.Name] {
				w.key(j.Name, quote(j.When), true)
			}
		}
		for _, j := range s.Jobs {
			w.key(quote(j.Name), renderJob(j), false)
		}
	})
	if c.Serve != (Serve{}) {
		w.line("")
		w.comment("How the daemon works.")
		w.key("serve", "", false)
		w.nest("  ", func() {
			w.key("socket", quote(c.Socket()), c.Serve.Socket == "")
			w.key("status", FormatDuration(cmp.Or(c.Serve.Status, DefaultStatus)), c.Serve.Status == 0)
		})
	}
}

// renderJob writes a job as job reads it.
func renderJob(j Job) string {
	if j.Off {
		return `"off"`
	}
	parts := []string{"when: " + quote(j.When)}
	add := func(key, value string, given bool) {
		if given {
			parts = append(parts, key+": "+value)
		}
	}
	var do []string
	for _, what := range j.Do {
		do = append(do, quote(what))
	}
	add("do", "["+strings.Join(do, ", ")+"]", len(do) > 0)
	add("then", strconv.FormatBool(j.Then), !j.Then)
	add("zone", quote(j.Zone), j.Zone != "")
	add("jitter", FormatDuration(j.Jitter), j.Jitter > 0)
	add("window", quote(j.Window), j.Window != "")
	add("catch_up", strconv.FormatBool(j.CatchUp), !j.CatchUp)
	add("retry", fmt.Sprintf("{after: %s, most: %s}", FormatDuration(j.Retry.After), FormatDuration(j.Retry.Most)), j.Retry != (Retry{}))
	return "{" + strings.Join(parts, ", ") + "}"
}

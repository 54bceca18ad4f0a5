package metrics

import (
	"cmp"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/durable"
	"holdfast/internal/job"
	"holdfast/internal/notify"
)

// history is what was done. It survives, so that counters go on where they were.
type history struct {
	Steps   map[string]*stepDone  `json:"steps"`   // by job, step and tier
	Sources map[string]backupDone `json:"sources"` // the last backup of each source, of all at one time as ""
	Tiers   map[string]*tierDone  `json:"tiers"`
}

type stepDone struct {
	Kinds map[string]int64 `json:"kinds"` // how often it ended how
	Last  time.Time        `json:"last"`
	Good  time.Time        `json:"good,omitzero"`
	OK    bool             `json:"ok"`
	Run   string           `json:"run"`  // the last,
	Line  string           `json:"line"` // and what was done of it
	Took  float64          `json:"took"` // seconds
	Read  int64            `json:"read"`
	New   int64            `json:"new"`
}

type backupDone struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok"`
	Parts []string  `json:"parts,omitempty"` // that were not done; none is the whole
}

type tierDone struct {
	Sent    int64            `json:"sent"`
	Errors  map[string]int64 `json:"errors,omitempty"`
	Damage  int64            `json:"damage"`
	Healed  int64            `json:"healed"`
	Damaged bool             `json:"damaged"` // as the last that looked found it
}

// mostSteps bounds the series, whatever is typed.
const mostSteps = 500

func (h *history) fill() {
	if h.Steps == nil {
		h.Steps = map[string]*stepDone{}
	}
	if h.Sources == nil {
		h.Sources = map[string]backupDone{}
	}
	if h.Tiers == nil {
		h.Tiers = map[string]*tierDone{}
	}
}

func (m *Metrics) file() string { return filepath.Join(m.opts.State, "metrics", "state.json") }

// recall reads what was remembered; what cannot be read begins anew, as counters may.
func (m *Metrics) recall() (h history) {
	if m.opts.State != "" {
		h, _ = durable.Read[history](m.file())
	}
	h.fill()
	return h
}

// mostMissed bounds what waits to be written.
const mostMissed = 1000

// remember adds a result to the history, that of other processes too. Where it cannot be written it is known in this process alone
// until it can be. A disk that does not answer keeps nobody from asking for metrics.
func (m *Metrics) remember(r job.Result) {
	m.saving.Lock()
	defer m.saving.Unlock()
	var done history
	err := errNowhere
	if m.opts.State != "" {
		err = durable.Update(m.file(), func(h *history) error {
			h.fill()
			for _, x := range append(m.missed, r) {
				h.add(x)
			}
			done = *h
			return nil
		})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.done, m.missed = done, nil
		return
	}
	m.done.add(r)
	if len(m.missed) < mostMissed {
		m.missed = append(m.missed, r)
	}
}

// errNowhere is why nothing is written where no directory was named.
var errNowhere = errors.New("nothing is remembered")

// add counts a result. What somebody mistyped counts for nothing.
func (h *history) add(r job.Result) {
	key := strings.Join([]string{r.Job, r.Step(), r.Tier}, "|")
	s := h.Steps[key]
	if r.Job == "" && r.Kind == "usage" || s == nil && len(h.Steps) >= mostSteps {
		return
	}
	if s == nil {
		s = &stepDone{Kinds: map[string]int64{}}
		h.Steps[key] = s
	}
	s.add(r)
	if r.Step() == "backup" {
		h.addBackup(r)
	}
	h.addTier(r)
}

func (h *history) addBackup(r job.Result) {
	names := r.Sources
	if len(names) == 0 {
		names = []string{""}
	}
	if part := job.Aim(r.Args); part != "" {
		h.addPart(names, part, r)
		return
	}
	for _, name := range names {
		h.Sources[name] = backupDone{At: r.Finished, OK: r.Good()}
	}
	for _, name := range r.Whole {
		h.Sources[name] = backupDone{At: r.Finished, OK: true}
	}
}

// addPart counts a backup of a part of sources: it says nothing good of them, and what a job did not do of them is forgotten once it does.
func (h *history) addPart(names []string, part string, r job.Result) {
	for _, name := range names {
		known, ok := h.Sources[name]
		others := slices.DeleteFunc(slices.Clone(known.Parts), func(p string) bool { return p == part })
		switch {
		case r.Good() && len(known.Parts) > 0 && len(others) == 0:
			delete(h.Sources, name)
		case r.Good() && len(others) > 0:
			h.Sources[name] = backupDone{At: known.At, Parts: others}
		case !r.Good() && r.Job != "" && (known.OK || !ok || len(known.Parts) > 0):
			h.Sources[name] = backupDone{At: r.Finished, Parts: append(others, part)}
		}
	}
}

func kindOf(r job.Result) string {
	switch {
	case r.Good():
		return "done"
	case r.Kind == "":
		return "failed"
	}
	return r.Kind
}

// add counts a result. A run is as good as the worst that it did of the kind.
func (s *stepDone) add(r job.Result) {
	s.Kinds[kindOf(r)]++
	s.OK = r.Good() && (s.OK || s.Run != r.Run || r.Run == "" || s.Line == strings.Join(r.Args, " "))
	s.Run, s.Line = r.Run, strings.Join(r.Args, " ")
	s.Last, s.Took = r.Finished, max(r.Finished.Sub(r.Started).Seconds(), 0)
	if s.OK {
		s.Good = r.Finished
	}
	s.Read += max(r.Read, 0)
	s.New += max(r.New, 0)
}

// addTier counts what a result says of its tier; the first has no name in results that are about no other.
func (h *history) addTier(r job.Result) {
	if r.Tier == "" && r.Step() != "verify" {
		return
	}
	t := h.Tiers[r.Tier]
	if t == nil {
		t = &tierDone{Errors: map[string]int64{}}
		h.Tiers[r.Tier] = t
	}
	if t.Errors == nil {
		t.Errors = map[string]int64{}
	}
	if r.Step() == "replicate" {
		t.Sent += max(r.New, 0)
	}
	switch {
	case !r.Good():
		t.Errors[kindOf(r)]++
		if r.Kind == "damage" {
			t.Damage++
			t.Damaged = true
		}
	case t.Damaged && slices.Contains(r.Args, "--heal"):
		t.Healed++
		t.Damaged = false
	}
}

// keys are the steps of the configuration, as the history names them; nil are all.
func (o Options) keys() map[string]bool {
	if o.Jobs == nil {
		return nil
	}
	keys := map[string]bool{}
	for _, j := range o.Jobs {
		for _, s := range j.Steps {
			tier := ""
			if t := s.Tiers(); len(t) == 1 {
				tier = t[0]
			}
			keys[strings.Join([]string{j.Name, s.Verb(), tier}, "|")] = true
		}
	}
	return keys
}

func (h *history) collect(ch chan<- prometheus.Metric, v *view, o Options) {
	shown := o.keys()
	for _, key := range slices.Sorted(maps.Keys(h.Steps)) {
		s, l := h.Steps[key], strings.SplitN(key, "|", 3)
		if len(l) != 3 || shown != nil && l[0] != "" && !shown[key] {
			continue
		}
		for _, kind := range slices.Sorted(maps.Keys(s.Kinds)) {
			ch <- runs.sample(float64(s.Kinds[kind]), l[0], l[1], l[2], kind)
		}
		ch <- runStatus.sample(flag(s.OK), l...)
		ch <- runLast.sample(seconds(s.Last), l...)
		ch <- runGood.sample(seconds(s.Good), l...)
		ch <- runDuration.sample(s.Took, l...)
		ch <- readBytes.sample(float64(s.Read), l...)
		ch <- newBytes.sample(float64(s.New), l...)
	}
	h.collectTiers(ch, v)
	for name, ok := range h.statuses(v) {
		if o.Sources != nil && !slices.Contains(o.Sources, name) {
			continue
		}
		ch <- backupStatus.sample(flag(ok), name)
	}
}

// troubles are the kinds of problems that a step about a tier can end with.
var troubles = []string{"failed", "usage", "partial", "not_found", "unreachable", "busy", "damage", "interrupted"}

// collectTiers gives every tier all its counters, so that the first problem is seen as an increase.
func (h *history) collectTiers(ch chan<- prometheus.Metric, v *view) {
	all := map[string]tierDone{}
	first := ""
	if v != nil && len(v.o.Tiers) > 0 {
		first = v.o.Tiers[0].Tier
		for _, t := range v.o.Tiers {
			all[t.Tier] = tierDone{Errors: map[string]int64{}}
		}
	}
	for name, t := range h.Tiers {
		x := all[cmp.Or(name, first)]
		errors := map[string]int64{}
		maps.Copy(errors, t.Errors)
		for kind, n := range x.Errors {
			errors[kind] += n
		}
		all[cmp.Or(name, first)] = tierDone{Sent: x.Sent + t.Sent, Errors: errors, Damage: x.Damage + t.Damage, Healed: x.Healed + t.Healed}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t := all[name]
		ch <- replicated.sample(float64(t.Sent), name)
		ch <- damageFound.sample(float64(t.Damage), name)
		ch <- healed.sample(float64(t.Healed), name)
		for _, kind := range troubles {
			ch <- tierErrors.sample(float64(t.Errors[kind]), name, kind)
		}
	}
}

// statuses says of each source whether its last backup was done: by its own result or that of a backup of all, whichever is newer, else
// by what the points say.
func (h *history) statuses(v *view) map[string]bool {
	known := map[string]bool{}
	all := h.Sources[""]
	if v != nil {
		for name, s := range v.sources {
			if known[name] = !s.failed && s.bare < s.count; !all.At.IsZero() {
				known[name] = all.OK
			}
		}
	}
	for name, s := range h.Sources {
		if name != "" && !s.At.Before(all.At) {
			known[name] = s.OK
		}
	}
	return known
}

// collectNotify sums the recipients of mail: their names are nobody's business.
func collectNotify(ch chan<- prometheus.Metric, told []notify.Status, now time.Time) {
	sums := map[string]notify.Status{}
	for _, s := range told {
		way, _, _ := strings.Cut(s.Way, ":")
		x := sums[way]
		x.Pending, x.Delivered, x.Failures = x.Pending+s.Pending, x.Delivered+s.Delivered, x.Failures+s.Failures
		if s.Error != "" && (x.Error == "" || s.Since.Before(x.Since)) {
			x.Error, x.Since = s.Error, s.Since
		}
		if s.Sent.After(x.Sent) {
			x.Sent = s.Sent
		}
		sums[way] = x
	}
	for _, way := range slices.Sorted(maps.Keys(sums)) {
		x, failing := sums[way], 0.0
		if x.Error != "" && !x.Since.IsZero() {
			failing = max(age(&x.Since, now), 1)
		}
		ch <- notifyPending.sample(float64(x.Pending), way)
		ch <- notifyDelivered.sample(float64(x.Delivered), way)
		ch <- notifyFailures.sample(float64(x.Failures), way)
		ch <- notifyFailing.sample(failing, way)
		ch <- notifySent.sample(seconds(x.Sent), way)
	}
}

package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"holdfast/internal/coverage"
	"holdfast/internal/durable"
	"holdfast/internal/job"
)

// mostResults is how many results are remembered.
const mostResults = 500

// state is what survives the daemon. It is written before it is acted on.
type state struct {
	Jobs    map[string]seen `json:"jobs"`
	Runs    []*Run          `json:"runs"`    // of jobs, in the order of the queue
	Tries   []Try           `json:"tries"`   // of what failed
	Results []told          `json:"results"` // oldest first
	Seq     int             `json:"seq"`     // of the newest result
	Told    int             `json:"told"`    // of the newest that all listeners were told
}

// seen is up to when the times of a job were seen to.
type seen struct {
	When string    `json:"when"` // the rule: of another, earlier times do not count
	Last time.Time `json:"last"`
}

type told struct {
	Seq int `json:"seq"`
	job.Result
}

// Run is a job, or a command of an operator, on its way from the queue to its end.
type Run struct {
	ID      string      `json:"run"`
	Job     string      `json:"job,omitempty"` // "" of a command
	Why     string      `json:"why"`           // schedule, missed, asked, again or command
	Due     time.Time   `json:"due,omitzero"`
	Queued  time.Time   `json:"queued"`
	Steps   []job.Step  `json:"steps"`
	Next    int         `json:"next"`    // the step that runs or waits
	Running bool        `json:"running"` // it was begun
	Began   time.Time   `json:"began,omitzero"`
	Process job.Process `json:"process,omitzero"`
	Try     int         `json:"try"`  // 1 the first time
	Cuts    int         `json:"cuts"` // how often the daemon died while it ran
	// Earlier are the results of the steps before.
	Earlier []job.Result `json:"earlier,omitempty"`

	stop     func() // ends the step under way
	canceled bool
	ticket   *ticket
	turn     *turn // of a command
}

// step is the one that runs or waits.
func (r *Run) step() job.Step { return r.Steps[min(r.Next, len(r.Steps)-1)] }

// Try is a part of a chain that failed and is done again.
type Try struct {
	Job   string        `json:"job"`
	Steps []job.Step    `json:"steps"`
	Due   time.Time     `json:"due,omitzero"`
	At    time.Time     `json:"at"`
	Wait  time.Duration `json:"wait"` // from the failure on, in nanoseconds
	Try   int           `json:"try"`
}

// store is the directory of the state.
type store struct{ dir string }

func (s store) file() string     { return filepath.Join(s.dir, "state.json") }
func (s store) overview() string { return filepath.Join(s.dir, "overview.json") }

// load reads the state. None, or one that cannot be read, is nil with what is to be told of it.
func (s store) load() (*state, string) {
	data, err := os.ReadFile(s.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ""
	}
	st := &state{}
	if err == nil {
		err = json.Unmarshal(data, st)
	}
	if err == nil && slices.ContainsFunc(st.Runs, func(r *Run) bool { return r == nil || len(r.Steps) == 0 }) {
		err = errors.New("a run has no steps")
	}
	if err != nil {
		aside := s.file() + ".unreadable"
		if rename := os.Rename(s.file(), aside); rename != nil {
			err = errors.Join(err, rename)
		}
		return nil, fmt.Sprintf("what was remembered cannot be read (%v); it is kept as %s, and made anew from the points", err, aside)
	}
	return st, ""
}

func (s store) save(st *state) error {
	data, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return durable.WriteFile(s.file(), data, 0o600)
}

// loadOverview reads the last look at the tiers, if there is one.
func (s store) loadOverview() *coverage.Overview {
	f, err := os.Open(s.overview())
	if err != nil {
		return nil
	}
	defer f.Close()
	o := &coverage.Overview{}
	if json.NewDecoder(f).Decode(o) != nil {
		return nil
	}
	return o
}

func (s store) saveOverview(o *coverage.Overview) error {
	data, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write overview: %w", err)
	}
	return durable.WriteFile(s.overview(), data, 0o600)
}

// add appends a result and drops the oldest beyond the bound.
func (st *state) add(r job.Result) {
	st.Seq++
	st.Results = append(st.Results, told{st.Seq, r})
	if more := len(st.Results) - mostResults; more > 0 {
		st.Results = slices.Clone(st.Results[more:])
	}
}

// active returns the run of a job that waits or goes on.
func (st *state) active(name string) *Run {
	for _, r := range st.Runs {
		if r.Job == name && r.turn == nil {
			return r
		}
	}
	return nil
}

package backup

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"holdfast/internal/durable"
)

// Journal is a directory in which a run leaves its name while it works, one file per source. A run that is killed
// cannot take its name away; the next run of the source, which holds the lock by then, finds and reports it.
type Journal struct{ Dir string }

type entry struct {
	Point   string    `json:"point"`
	Started time.Time `json:"started"`
	PID     int       `json:"pid"`
}

func (j Journal) path(source string) string { return filepath.Join(j.Dir, source+".running") }

// killed returns the run of source that never ended, if there is one. The caller holds the lock of the source.
func (j Journal) killed(source string) (entry, bool) {
	data, err := os.ReadFile(j.path(source))
	var e entry
	if err != nil || json.Unmarshal(data, &e) != nil {
		return entry{}, false
	}
	return e, true
}

// enter leaves the name of a run for each source and returns the function that takes it away again.
func (j Journal) enter(id string, sources []string, started time.Time) (leave func(), err error) {
	data, err := json.Marshal(entry{Point: id, Started: started, PID: os.Getpid()})
	if err != nil {
		return nil, fmt.Errorf("write journal: %w", err)
	}
	leave = func() {
		for _, s := range sources {
			_ = os.Remove(j.path(s)) // a name left behind is only reported once more
		}
	}
	for _, s := range sources {
		if err := durable.WriteFile(j.path(s), data, 0o600); err != nil {
			leave()
			return nil, fmt.Errorf("write journal: %w", err)
		}
	}
	return leave, nil
}

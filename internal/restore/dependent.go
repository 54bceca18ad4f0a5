package restore

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/durable"
	"holdfast/internal/problem"
)

// Stage is how far an instant restore has come.
type Stage string

// The stages, in their order. What a stage names has happened.
const (
	Planned   Stage = "planned"   // nothing, or the image is being prepared
	Usable    Stage = "usable"    // the image is in use and its data is not in the cluster yet
	Copied    Stage = "copied"    // all of its data is
	Committed Stage = "committed" // it is an image like any other
)

// Dependent is an image that cannot be used unless Holdfast serves it, until its data is in the cluster. It is kept in a
// file of the state directory, from before the image is made until nothing depends on Holdfast any more.
type Dependent struct {
	ID        string     `json:"id"`
	Cluster   string     `json:"cluster"`
	Target    string     `json:"target"` // POOL/NAME
	Point     string     `json:"point"`
	Component string     `json:"component"`
	Address   string     `json:"address"` // HOST:PORT
	Token     string     `json:"token"`
	Layout    string     `json:"layout"`             // digest of what is served
	ImageID   string     `json:"image_id,omitempty"` // of the target, once it is usable
	Stage     Stage      `json:"stage"`
	Started   time.Time  `json:"started"`
	Since     *time.Time `json:"usable_since,omitempty"`

	dir string
}

const dependentsDir = "instant"

// Dependents lists the images that depend on Holdfast, by what is in its state directory, the oldest first. With an error they are those
// whose records can be read.
func Dependents(state string) ([]Dependent, error) {
	return dependentsIn(filepath.Join(state, dependentsDir))
}

func dependentsIn(dir string) ([]Dependent, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []Dependent
	var unread []error
	for _, name := range names {
		d, err := readDependent(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			unread = append(unread, err)
			continue
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Dependent) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID)) })
	return all, errors.Join(unread...)
}

func readDependent(name string) (Dependent, error) {
	d := Dependent{dir: filepath.Dir(name)}
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err == nil && d.ID+".json" != filepath.Base(name) {
		err = errors.New("it names another restore")
	}
	if err != nil {
		return d, fmt.Errorf("read state of an instant restore %s: %w", name, err)
	}
	return d, nil
}

// SelectDependent finds the one that an operator names, or with "" the only one.
func SelectDependent(all []Dependent, id string) (Dependent, error) {
	var ids []string
	for _, d := range all {
		if d.ID == id || id == "" && len(all) == 1 {
			return d, nil
		}
		ids = append(ids, d.ID+" ("+d.Target+")")
	}
	switch {
	case len(all) == 0:
		return Dependent{}, problem.New(problem.NotFound, "", "no instant restore is on its way")
	case id == "":
		return Dependent{}, problem.New(problem.Usage, "give one of: "+strings.Join(ids, ", "), "%d instant restores are on their way", len(all))
	}
	return Dependent{}, problem.New(problem.NotFound, "give one of: "+strings.Join(ids, ", "), "there is no instant restore %q", id)
}

// newDependent begins the record of a restore; it is nowhere yet.
func newDependent(state string, at time.Time) Dependent {
	random := make([]byte, 4+32)
	rand.Read(random)
	return Dependent{
		ID: hex.EncodeToString(random[:4]), Token: hex.EncodeToString(random[4:]), Stage: Planned, Started: at.UTC(),
		dir: filepath.Join(state, dependentsDir),
	}
}

func (d *Dependent) path(ext string) string { return filepath.Join(d.dir, d.ID+ext) }

// save writes the record so that it lasts.
func (d *Dependent) save() error {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(d.path(".json"), append(text, '\n'), 0o600)
}

// reload reads the record again, since another process may have brought the restore on meanwhile.
func (d *Dependent) reload() error {
	now, err := readDependent(d.path(".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(problem.New(problem.NotFound, "", "instant restore %s of %s has ended meanwhile", d.ID, d.Target), os.Remove(d.path(".lock")))
	}
	if err == nil {
		*d = now
	}
	return err
}

// forget removes the record.
func (d *Dependent) forget() error {
	return errors.Join(os.Remove(d.path(".json")), os.Remove(d.path(".lock")))
}

// Over reports whether the restore has ended.
func (d *Dependent) Over() bool {
	_, err := os.Stat(d.path(".json"))
	return errors.Is(err, fs.ErrNotExist)
}

// ResumeCommand is what makes the image usable again.
func (d *Dependent) ResumeCommand() string { return "holdfast restore resume " + d.ID }

// Held reports whether a process serves the image.
func (d *Dependent) Held() bool {
	unlock, err := d.lock()
	if err == nil {
		unlock()
	}
	return problem.KindOf(err) == problem.Busy
}

// lock keeps every other process from this restore until unlock, or until this one dies.
func (d *Dependent) lock() (unlock func(), err error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.path(".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		pid, _ := io.ReadAll(f)
		return nil, errors.Join(problem.New(problem.Busy, "it goes on there; to abort it, stop that process first",
			"instant restore %s of %s is served by another process, %s", d.ID, d.Target, bytes.TrimSpace(pid)), f.Close())
	case err != nil:
		return nil, errors.Join(err, f.Close())
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%-10d", os.Getpid()), 0) // for who is refused
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

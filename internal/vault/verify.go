package vault

import (
	"context"

	"github.com/kopia/kopia/repo/content"

	"holdfast/internal/problem"
)

// Depth says how much of the data a verification reads.
type Depth int

// Structure reads the directories and indexes, finds every content and pack, and reads what was found damaged before;
// Sample also reads and hashes a share of the contents; Full reads all of them.
const (
	Structure Depth = iota
	Sample
	Full
)

// VerifyOptions choose a verification. Percent is Sample's share of the contents, taken at random, unless Due says of each
// pack whether what lies in it is read. Progress, if not nil, is called from several goroutines with what was done so far.
type VerifyOptions struct {
	Depth    Depth
	Percent  float64
	Due      func(pack string) bool
	Progress func(Report)

	well map[content.ID]struct{} // what needs no reading: it was read just now
}

// Damage is one thing that is not as it should be. File is empty when a whole component or source is meant.
type Damage struct {
	Point     string `json:"point"`
	Source    string `json:"source"`
	Component string `json:"component"`
	File      string `json:"file"`
	What      string `json:"what"`
}

// Report says what a verification saw. Bytes are those of the contents as stored; Read and ReadBytes count the
// contents that were read and hashed.
type Report struct {
	Points    int      `json:"points"`
	Files     int64    `json:"files"`
	Contents  int      `json:"contents"`
	Bytes     int64    `json:"bytes"`
	Read      int      `json:"read"`
	ReadBytes int64    `json:"read_bytes"`
	Damaged   []Damage `json:"damaged"`
	// Each tells the same of each point, oldest first; what several share counts with the first of them.
	Each []PointReport `json:"-"`
	// Note says why the vault does not remember what was found, when it does not.
	Note string `json:"note,omitempty"`
}

// PointReport is what a verification saw of one point. Damaged counts all of it, however many damages a report names.
type PointReport struct {
	Point     string
	Files     int64
	Contents  int
	Bytes     int64
	Read      int
	ReadBytes int64
	Damaged   int
}

// mostDamages bounds a report; a broken disk would fill it with every file.
const mostDamages = 1000

// Verify checks one point, or all of them when pointID is "". It reads from the store and never from the cache. Damage
// is reported and also a problem of kind Damage; a vault without the point, or without any, is a problem of kind
// NotFound. The vault remembers which contents cannot be read, so that no later session shares them.
func (v *Vault) Verify(ctx context.Context, pointID string, opts VerifyOptions) (Report, error) {
	vf, err := v.newVerifier(ctx, opts)
	if err != nil {
		return Report{}, problem.Wrap(err, "verify vault", v.loc.URL)
	}
	defer vf.close()
	rep, err := vf.run(ctx, idsOf(pointID)...)
	if ferr := vf.remember(context.WithoutCancel(ctx)); ferr != nil {
		rep.Note = "the vault does not remember this: " + ferr.Error()
	}
	if err != nil {
		return rep, problem.Wrap(err, "verify vault", v.loc.URL)
	}
	return rep, v.damaged(rep)
}

// damaged makes what a report names as damaged a problem.
func (v *Vault) damaged(rep Report) error {
	if len(rep.Damaged) == 0 {
		return nil
	}
	d := rep.Damaged[0]
	return problem.New(problem.Damage, DamageHint,
		"verify vault %s: %d damaged, first %s %s %s: %s", v.loc.URL, len(rep.Damaged), d.Point, d.Component, d.File, d.What)
}

// DamageHint says what to do about damaged data.
const DamageHint = "the next backup writes anew what its sources still hold of it, and so mends the earlier points; until then " +
	"restore from another point or tier; keep this vault's disk for analysis"

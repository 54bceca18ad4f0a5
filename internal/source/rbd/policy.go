package rbd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/rows"
)

// Policy decides which images of the pools are captured: those that one of Include fits, if there are any, and none of
// Exclude. What cannot be decided is captured.
type Policy struct {
	Include, Exclude []config.Selector
	// Rows reads what the services' databases say of images. It is called at most once for a plan, and only when it matters.
	Rows func(ctx context.Context, need rows.Need) (*rows.Facts, error)
}

// judge is the policy with what it needs to know for one plan.
type judge struct {
	Policy
	facts  *rows.Facts     // nil when the databases were not needed, or cannot be read
	failed bool            // they cannot be read, and a note says so
	cloned map[string]bool // images of the pools that have clones in them, by component
	open   []string        // components that were left in since nothing decided
	fitted []bool          // which of Include fit an image, as far as that is known
	notes  []string

	servers bool // the databases tell of servers, too
	freeze  *Freeze
}

// judge asks the databases, if they matter to the images that there are.
func (s *Source) judge(ctx context.Context, pools []pool) *judge {
	j := &judge{Policy: s.Choose, cloned: map[string]bool{}, fitted: make([]bool, len(s.Choose.Include)), freeze: s.Freeze}
	var all []*image
	for n := range pools {
		p := &pools[n]
		for _, img := range p.images {
			all = append(all, p.image(img))
			if img.Parent != nil {
				j.cloned[p.cluster.Prefix+img.Parent.Pool+"/"+img.Parent.Image] = true
			}
		}
	}
	need := j.need(all)
	rules := need.Any()
	need.Attached = s.together(all)
	if !need.Any() || j.Rows == nil {
		return j
	}
	facts, err := j.Rows(ctx, need)
	j.facts, j.failed, j.servers = facts, rules && err != nil, need.Attached && err == nil
	switch {
	case j.failed:
		j.note("the services' databases cannot be read, so that every image is captured which the rules may want: %v", err)
	case err != nil:
		j.note("which images belong to a server is not known, and none is frozen: %v", err)
	case rules:
		j.note("which images are captured was decided by %s, as of %s UTC", facts.From, facts.At.UTC().Format(time.DateTime))
	case !facts.Live:
		j.note("which images belong to a server was told by %s, as of %s UTC", facts.From, facts.At.UTC().Format(time.DateTime))
	}
	return j
}

// together reports whether it matters which images belong to a server: to take several side by side, and not to take what
// a deleted server left behind.
func (s *Source) together(all []*image) bool {
	several := 0
	for _, i := range all {
		switch k, _ := i.kind(); k {
		case aVolume:
			several++
		case aDisk:
			several += 2
		}
	}
	return s.Servers && (several > 1 || several > 0 && s.Freeze != nil)
}

func (j *judge) note(format string, args ...any) {
	j.notes = append(j.notes, fmt.Sprintf(format, args...))
}

// need is which databases tell whether the rules fit the images.
func (j *judge) need(all []*image) (need rows.Need) {
	var volumes, images, servers bool
	for _, i := range all {
		kind, _ := i.kind()
		volumes, images, servers = volumes || kind == aVolume, images || kind == anImage, servers || kind == aDisk
	}
	for _, s := range slices.Concat(j.Include, j.Exclude) {
		if s.VolumeType != "" || len(s.Metadata) > 0 || s.Project != "" {
			need.Volumes = need.Volumes || volumes
		}
		if s.Project != "" {
			need.Images, need.Servers = need.Images || images, need.Servers || servers
		}
		if s.Usage != "" && images {
			need = rows.Need{Volumes: true, Images: true, Servers: true}
		}
	}
	return need
}

// skip says why the rules leave an image out, or "". One that is skipped anyway is none of theirs.
func (j *judge) skip(i *image) string {
	if i.deleted() {
		return ""
	}
	best, live := no, j.facts != nil && j.facts.Live
	for n, s := range j.Include {
		fits := j.fits(s, i)
		best, j.fitted[n] = max(best, fits), j.fitted[n] || fits == yes || fits == maybe && !live
	}
	open := best == maybe
	for n, s := range j.Exclude {
		switch j.fits(s, i) {
		case yes:
			return fmt.Sprintf("excluded by rbd.exclude[%d]: %s", n, s)
		case maybe:
			open = true
		}
	}
	if len(j.Include) > 0 && best == no {
		return "not included by any of rbd.include"
	}
	if open {
		j.open = append(j.open, i.component)
	}
	return ""
}

// told is what there is to tell of a plan's decisions.
func (j *judge) told() []string {
	const some = 5
	for n, fitted := range j.fitted {
		if !fitted {
			j.note("rbd.include[%d] fits no image: %s", n, j.Include[n])
		}
	}
	if j.failed || len(j.open) == 0 {
		return j.notes
	}
	names := j.open[:min(some, len(j.open))]
	text := fmt.Sprintf("captured since nothing tells whether the rules want them (%d): %s", len(j.open), strings.Join(names, ", "))
	if len(j.open) > some {
		text += ", …"
	}
	return append(j.notes, text)
}

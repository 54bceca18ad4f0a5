package rbd

import (
	"path"
	"regexp"

	"holdfast/internal/config"
	"holdfast/internal/rows"
)

// answer is whether a selector fits an image.
type answer int

const (
	no answer = iota
	maybe
	yes
)

// is is yes or no.
func is(fits bool) answer {
	if fits {
		return yes
	}
	return no
}

// fits reports whether an image is as all of the selector says.
func (j *judge) fits(s config.Selector, i *image) answer {
	named := true
	if s.Name != "" {
		named, _ = path.Match(s.Name, i.Name) // its form was checked with the configuration
	}
	sized := i.sized(s)
	if s.Pool != "" && s.Pool != i.pool.Name || !named || sized == no {
		return no
	}
	if !s.NeedsRows() {
		return sized
	}
	return min(sized, j.fitsRows(s, i))
}

// sized reports whether an image is as large as the selector says. Of one that cannot be opened nobody knows.
func (i *image) sized(s config.Selector) answer {
	if i.Err != nil && (s.Larger > 0 || s.Smaller > 0) {
		return maybe
	}
	return is((s.Larger == 0 || i.Size > s.Larger) && (s.Smaller == 0 || i.Size < s.Smaller))
}

// fitsRows looks at what the databases say.
func (j *judge) fitsRows(s config.Selector, i *image) answer {
	kind, id := i.kind()
	ofVolumes := s.VolumeType != "" || len(s.Metadata) > 0
	switch {
	case kind == unknown:
		return maybe
	case ofVolumes && kind != aVolume, s.Usage != "" && kind != anImage:
		return no
	}
	fits := yes
	if s.Usage != "" {
		fits = min(fits, j.fitsUsage(s.Usage == config.Used, i, id))
	}
	if s.Project != "" {
		owner, known := j.owner(kind, id)
		fits = min(fits, j.sure(known, owner.Is(s.Project)))
	}
	if ofVolumes {
		v, known := j.volume(id)
		fits = min(fits, j.sure(known, likes(s, v)))
	}
	return fits
}

func (j *judge) fitsUsage(wanted bool, i *image, id string) answer {
	if j.cloned[i.component] {
		return is(wanted)
	}
	if j.facts == nil {
		return maybe
	}
	used := j.facts.Used[id]
	_, known := j.facts.Images[id]
	return j.sure(known || used || j.facts.Live, used == wanted)
}

// sure is what the databases answer. What they do not know is not there if they are as young as the listing, and may
// have been made since if they are not.
func (j *judge) sure(known, fits bool) answer {
	if !known && (j.facts == nil || !j.facts.Live) {
		return maybe
	}
	return is(known && fits)
}

func (j *judge) volume(id string) (v rows.Volume, known bool) {
	if j.facts != nil {
		v, known = j.facts.Volumes[id]
	}
	return v, known
}

// owner is the project that an image belongs to.
func (j *judge) owner(k kind, id string) (p rows.Project, known bool) {
	if j.facts == nil {
		return p, false
	}
	switch k {
	case aVolume:
		v, known := j.facts.Volumes[id]
		return v.Project, known
	case anImage:
		i, known := j.facts.Images[id]
		return i.Project, known
	}
	s, known := j.facts.Servers[id]
	return s.Project, known
}

// likes reports whether a volume has the selector's type and metadata.
func likes(s config.Selector, v rows.Volume) bool {
	if s.VolumeType != "" && s.VolumeType != v.Type && s.VolumeType != v.TypeID {
		return false
	}
	for key, want := range s.Metadata {
		if got, has := v.Metadata[key]; !has || got != want {
			return false
		}
	}
	return true
}

// wish is whether an image wants its server to stand still. That it must not counts more.
type wish int

const (
	noWish wish = iota
	toFreeze
	notToFreeze
)

func (j *judge) wish(i *image) wish {
	if j.freeze == nil {
		return noWish
	}
	for _, s := range j.freeze.Exclude {
		if j.fits(s, i) != no {
			return notToFreeze
		}
	}
	for _, s := range j.freeze.Include {
		if j.fits(s, i) == yes {
			return toFreeze
		}
	}
	if len(j.freeze.Include) > 0 {
		return noWish
	}
	return toFreeze
}

// known is what the databases tell of servers and their images; nil when that was not asked.
func (j *judge) known() *rows.Facts {
	if !j.servers {
		return nil
	}
	return j.facts
}

// left reports whether an image is the disk of a server that was deleted.
func (j *judge) left(i *image) bool {
	k, id := i.kind()
	return j.servers && k == aDisk && j.facts.Servers[id].Deleted
}

// kind is which service an image belongs to, by its name.
type kind int

const (
	unknown kind = iota
	aVolume
	anImage
	aDisk
)

const uuid = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

var (
	cinderName = regexp.MustCompile(`^volume-(` + uuid + `)$`)
	novaName   = regexp.MustCompile(`^(` + uuid + `)_disk(\.[a-z0-9]+)?$`)
)

// kind tells what an image is, and the id that its service knows it by.
func (i *image) kind() (kind, string) {
	if m := cinderName.FindStringSubmatch(i.Name); m != nil {
		return aVolume, m[1]
	}
	if m := novaName.FindStringSubmatch(i.Name); m != nil {
		return aDisk, m[1]
	}
	if i.glances() {
		return anImage, i.Name
	}
	return unknown, ""
}

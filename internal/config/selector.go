package config

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"holdfast/internal/suggest"
)

// Used and Unused are what Selector.Usage may be.
const (
	Used   = "used"
	Unused = "unused"
)

const (
	leastImage = 1 << 10
	mostImage  = 1 << 60
)

// selector reads what images must be like to be chosen.
func (d *decoder) selector(n *yaml.Node, at string) Selector {
	var s Selector
	found := d.mapping(n, at,
		optional("pool", d.text(&s.Pool, aName)),
		optional("name", d.text(&s.Name, aPattern)),
		optional("volume_type", d.text(&s.VolumeType)),
		optional("project", d.text(&s.Project)),
		optional("metadata", d.texts(&s.Metadata)),
		optional("larger", d.size(&s.Larger, leastImage, mostImage)),
		optional("smaller", d.size(&s.Smaller, leastImage, mostImage)),
		optional("usage", d.text(&s.Usage, oneOf(Used, Unused))),
	)
	switch {
	case resolve(n).Kind == yaml.MappingNode && len(resolve(n).Content) == 0:
		d.fault(n, "say what the images are like, such as {pool: volumes}", "%s says nothing", at)
	case s.Smaller > 0 && s.Larger >= s.Smaller:
		d.fault(found["larger"], "the two say between which sizes", "%s: no image is larger than %s and smaller than %s",
			at, FormatSize(s.Larger), FormatSize(s.Smaller))
	}
	d.checkLater(found, s, at)
	return s
}

// checkLater looks at what a selector needs of the rest of the file, once that was read.
func (d *decoder) checkLater(found map[string]*yaml.Node, s Selector, at string) {
	d.later = append(d.later, func(c Config) {
		for _, key := range []string{"volume_type", "project", "metadata", "usage"} {
			if found[key] != nil && c.MariaDB == nil {
				d.fault(found[key], "add mariadb:", "%s needs mariadb, whose databases tell it", join(at, key))
			}
		}
		var pools []string
		for _, p := range c.RBD.Pools {
			pools = append(pools, p.Name)
		}
		if s.Pool != "" && !slices.Contains(pools, s.Pool) {
			d.fault(found["pool"], suggest.Hint(s.Pool, pools, "add it there, or remove the entry"), "%s: %q is not one of rbd.pools", join(at, "pool"), s.Pool)
		}
	})
}

// NeedsRows reports whether only the services' databases tell which images fit.
func (s Selector) NeedsRows() bool {
	return s.VolumeType != "" || s.Project != "" || len(s.Metadata) > 0 || s.Usage != ""
}

// String is the selector on one line: "pool=volumes, volume_type=scratch".
func (s Selector) String() string {
	var parts []string
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, key+"="+value)
		}
	}
	size := func(key string, n int64) {
		if n > 0 {
			add(key, FormatSize(n))
		}
	}
	add("pool", s.Pool)
	add("name", s.Name)
	add("volume_type", s.VolumeType)
	add("project", s.Project)
	for _, k := range slices.Sorted(maps.Keys(s.Metadata)) {
		add("metadata."+k, s.Metadata[k])
	}
	size("larger", s.Larger)
	size("smaller", s.Smaller)
	add("usage", s.Usage)
	return strings.Join(parts, ", ")
}

// aPattern accepts what path.Match does.
func aPattern(_ *yaml.Node, text string) (wrong, hint string) {
	if _, err := path.Match(text, ""); err != nil {
		return fmt.Sprintf("%q is not a pattern", text), "* stands for any characters, ? for one, [a-c] for one of them"
	}
	return "", ""
}

// texts reads a mapping of keys that are not known beforehand to texts.
func (d *decoder) texts(dst *map[string]string) reader {
	return func(n *yaml.Node, at string) {
		n = resolve(n)
		if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
			d.fault(n, "write {KEY: VALUE}", "%s must be a set of keys with their values", at)
			return
		}
		*dst = map[string]string{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			var key, value string
			d.text(&key)(n.Content[i], at)
			d.text(&value)(n.Content[i+1], join(at, key))
			if _, twice := (*dst)[key]; twice && key != "" {
				d.fault(n.Content[i], "", "%s is given twice", join(at, key))
			}
			(*dst)[key] = value
		}
	}
}

package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"holdfast/internal/suggest"
)

// decoder walks the nodes of a file by what it expects, never by what it finds, and collects every fault on the way.
type decoder struct {
	file string
	base string         // relative paths start here
	seen map[string]int // what must be unique, with the line where it stood first
	errs Errors
	// later are checks of parts of the file that wait until the whole was read.
	later []func(c Config)
}

// reader takes one node into the value it was made for; at is the node's path for messages ("tiers[1].name").
type reader func(n *yaml.Node, at string)

// field is one key of a mapping.
type field struct {
	key      string
	required bool
	read     reader
}

func required(key string, read reader) field { return field{key, true, read} }
func optional(key string, read reader) field { return field{key, false, read} }

func (d *decoder) add(line, col int, hint, format string, args ...any) {
	d.errs.Faults = append(d.errs.Faults, Fault{d.file, line, col, fmt.Sprintf(format, args...), hint})
}

func (d *decoder) fault(n *yaml.Node, hint, format string, args ...any) {
	d.add(n.Line, n.Column, hint, format, args...)
}

// mapping reads n, which must be a mapping of the given fields and no others, each at most once. It returns the value
// nodes by key.
func (d *decoder) mapping(n *yaml.Node, at string, fields ...field) map[string]*yaml.Node {
	n = resolve(n)
	found := map[string]*yaml.Node{}
	if n.Kind != yaml.MappingNode {
		d.fault(n, "known keys: "+strings.Join(keysOf(fields), ", "), "%s must be a set of keys, not %s",
			orFile(at), describe(n))
		return found
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		d.entry(n.Content[i], n.Content[i+1], at, fields, found)
	}
	for _, f := range fields {
		if f.required && found[f.key] == nil {
			d.fault(n, "add "+f.key+":", "%s is missing", join(at, f.key))
		}
	}
	return found
}

func (d *decoder) entry(key, value *yaml.Node, at string, fields []field, found map[string]*yaml.Node) {
	name := resolve(key).Value
	i := slices.IndexFunc(fields, func(f field) bool { return f.key == name })
	switch {
	case i < 0:
		keys := keysOf(fields)
		d.fault(key, suggest.Hint(name, keys, "known keys: "+strings.Join(keys, ", ")), "unknown key %q%s", name, in(at))
	case found[name] != nil:
		d.fault(key, fmt.Sprintf("it stands on line %d already", found[name].Line), "%s is given twice", join(at, name))
	default:
		found[name] = value
		if isNull(value) {
			hint := "remove the key to take its default"
			if fields[i].required {
				hint = "give it one"
			}
			d.fault(key, hint, "%s has no value", join(at, name))
			return
		}
		fields[i].read(value, join(at, name))
	}
}

// list reads a sequence, one element after the other, into dst.
func list[T any](d *decoder, dst *[]T, read func(n *yaml.Node, at string) T) reader {
	return func(n *yaml.Node, at string) {
		n = resolve(n)
		if n.Kind != yaml.SequenceNode {
			d.fault(n, "begin each entry with a dash", "%s must be a list, not %s", at, describe(n))
			return
		}
		if len(n.Content) == 0 {
			d.fault(n, "remove the key to take its default", "%s is empty", at)
		}
		for i, c := range n.Content {
			*dst = append(*dst, read(c, fmt.Sprintf("%s[%d]", at, i)))
		}
	}
}

// check looks at the text of a node and returns what is wrong with it and a hint, or "".
type check func(n *yaml.Node, text string) (wrong, hint string)

// text reads a string that is not empty and passes the checks.
func (d *decoder) text(dst *string, checks ...check) reader {
	return func(n *yaml.Node, at string) {
		n = resolve(n)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
			hint := ""
			if n.Kind == yaml.ScalarNode {
				hint = "put it in quotes"
			}
			d.fault(n, hint, "%s must be text, not %s", at, describe(n))
			return
		}
		if strings.TrimSpace(n.Value) == "" {
			d.fault(n, "", "%s is empty", at)
			return
		}
		for _, c := range checks {
			if wrong, hint := c(n, n.Value); wrong != "" {
				d.fault(n, hint, "%s: %s", at, wrong)
				return
			}
		}
		*dst = n.Value
	}
}

// path reads a file name; a relative one starts at the directory of the configuration.
func (d *decoder) path(dst *string) reader {
	return func(n *yaml.Node, at string) {
		var name string
		d.text(&name)(n, at)
		if name != "" {
			*dst = d.abs(name)
		}
	}
}

func (d *decoder) abs(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(d.base, name)
}

// paths reads one path or a list of them.
func (d *decoder) paths(dst *[]string) reader {
	one := func(n *yaml.Node, at string) (name string) {
		d.path(&name)(n, at)
		return name
	}
	return func(n *yaml.Node, at string) {
		if resolve(n).Kind == yaml.ScalarNode {
			*dst = []string{one(n, at)}
			return
		}
		list(d, dst, one)(n, at)
	}
}

// flag reads true or false.
func (d *decoder) flag(dst *bool) reader {
	return func(n *yaml.Node, at string) {
		n = resolve(n)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			d.fault(n, "", "%s must be true or false, not %s", at, describe(n))
			return
		}
		*dst = strings.EqualFold(n.Value, "true")
	}
}

// number reads a whole number from 0 to most, other than those in the unique group already, if one is named.
func (d *decoder) number(dst *int, most int, unique string) reader {
	return d.between(dst, 0, most, unique)
}

// count reads a whole number from 1 to most.
func (d *decoder) count(dst *int, most int) reader { return d.between(dst, 1, most, "") }

func (d *decoder) between(dst *int, least, most int, unique string) reader {
	return func(n *yaml.Node, at string) {
		n = resolve(n)
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || v < least || v > most {
			given := describe(n)
			if given == "a number" {
				given = n.Value
			}
			d.fault(n, "", "%s must be a whole number from %d to %d, not %s", at, least, most, given)
			return
		}
		if unique != "" {
			if wrong, hint := d.unique(unique)(n, strconv.Itoa(v)); wrong != "" {
				d.fault(n, hint, "%s: %s", at, wrong)
			}
		}
		*dst = v
	}
}

// duration reads a time span with its unit.
func (d *decoder) duration(dst *time.Duration) reader {
	return d.parsed(func(n *yaml.Node) (string, string) {
		v, err := ParseDuration(n.Value)
		if err != nil {
			return err.Error(), "write a number with its unit, such as 36h, 7d, 4w or 1y"
		}
		*dst = v
		return "", ""
	})
}

// share reads a percentage or a fraction, from 0 up to but not including 1.
func (d *decoder) share(dst *float64) reader {
	return d.parsed(func(n *yaml.Node) (string, string) {
		v, err := parseShare(n.Value)
		if err != nil {
			return err.Error(), "write a percentage such as 10%"
		}
		*dst = v
		return "", ""
	})
}

// parsed reads a scalar of any type by its text.
func (d *decoder) parsed(read func(n *yaml.Node) (wrong, hint string)) reader {
	return func(n *yaml.Node, at string) {
		n = resolve(n)
		if n.Kind != yaml.ScalarNode {
			d.fault(n, "", "%s must be a single value, not %s", at, describe(n))
			return
		}
		if wrong, hint := read(n); wrong != "" {
			d.fault(n, hint, "%s: %s", at, wrong)
		}
	}
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	n = resolve(n)
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" || n.Kind == 0
}

// describe names the type of a node without its value, which may be a secret in the wrong place.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a set of keys"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	}
	return "a value tagged " + n.ShortTag()
}

func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

func in(at string) string {
	if at == "" {
		return ""
	}
	return " in " + at
}

func orFile(at string) string {
	if at == "" {
		return "the file"
	}
	return at
}

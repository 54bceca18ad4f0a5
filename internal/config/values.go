package config

import (
	"fmt"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"holdfast/internal/suggest"
)

// Day, Week and Year are the calendar lengths that keep terms are counted in: a year is 365 days.
const (
	Day  = 24 * time.Hour
	Week = 7 * Day
	Year = 365 * Day
)

type unit struct {
	name string
	span time.Duration
}

// units from the longest to the shortest.
var units = []unit{{"y", Year}, {"w", Week}, {"d", Day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

// ParseDuration reads whole numbers with a unit of y, w, d, h, m or s, one after the other ("1y30d"). The result is
// more than zero.
func ParseDuration(text string) (time.Duration, error) {
	var sum time.Duration
	for rest := text; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits > 0 && digits == len(rest) {
			return 0, fmt.Errorf("%q has no unit", text)
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		i := slices.IndexFunc(units, func(u unit) bool { return strings.HasPrefix(rest[digits:], u.name) })
		if err != nil || i < 0 {
			return 0, fmt.Errorf("%q is not a duration", text)
		}
		if n > int64((math.MaxInt64-sum)/units[i].span) {
			return 0, fmt.Errorf("%q is too long", text)
		}
		sum += time.Duration(n) * units[i].span
		rest = rest[digits+1:]
	}
	if sum == 0 {
		return 0, fmt.Errorf("%q is no time at all", text)
	}
	return sum, nil
}

// FormatDuration writes d, whole seconds, as ParseDuration reads it: in one unit if one divides it, else in several.
func FormatDuration(d time.Duration) string {
	for _, u := range units {
		if d >= u.span && d%u.span == 0 {
			return fmt.Sprintf("%d%s", d/u.span, u.name)
		}
	}
	var b strings.Builder
	for _, u := range units {
		if n := d / u.span; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.span
		}
	}
	return b.String()
}

// sizes are the units of sizes, from the largest to the smallest.
var sizes = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// ParseSize reads a whole number of KiB, MiB, GiB or TiB, in bytes.
func ParseSize(text string) (int64, error) {
	for _, u := range sizes {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, fmt.Errorf("%q is not a size", text)
}

// FormatSize writes n as ParseSize reads it; n is a multiple of a KiB.
func FormatSize(n int64) string {
	for _, u := range sizes {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

// size reads a size within bounds, in bytes.
func (d *decoder) size(dst *int64, least, most int64) reader {
	return d.parsed(func(n *yaml.Node) (string, string) {
		v, err := ParseSize(n.Value)
		switch {
		case err != nil:
			return err.Error(), "write a number with its unit, such as 512KiB, 4MiB or 2TiB"
		case v < least || v > most:
			return fmt.Sprintf("%s is not between %s and %s", n.Value, FormatSize(least), FormatSize(most)), ""
		}
		*dst = v
		return "", ""
	})
}

// parseShare reads "10%" or 0.1.
func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(v) {
		return 0, fmt.Errorf("%q is not a percentage", text)
	}
	if percent {
		v /= 100
	}
	switch {
	case v >= 1 && !percent:
		return 0, fmt.Errorf("%q has no %% sign", text)
	case v < 0 || v >= 1:
		return 0, fmt.Errorf("%q is not between 0%% and 100%%", text)
	}
	return math.Abs(v), nil
}

// formatShare writes v so that parseShare gives exactly v again.
func formatShare(v float64) string {
	percent := strconv.FormatFloat(v*100, 'f', -1, 64) + "%"
	if back, err := parseShare(percent); err == nil && back == v {
		return percent
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// aName accepts what can stand in file names, labels and user@host.
func aName(_ *yaml.Node, text string) (wrong, hint string) {
	if word.MatchString(text) {
		return "", ""
	}
	return fmt.Sprintf("%q is not a name", text), "use up to 64 letters, digits, dots, dashes and underscores"
}

// anAddress accepts HOST or HOST:PORT.
func anAddress(_ *yaml.Node, text string) (wrong, hint string) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = text, "0"
	}
	if n, err := strconv.Atoi(port); err == nil && n >= 0 && n <= math.MaxUint16 && host != "" && !strings.ContainsAny(host, ":[]/ ") {
		return "", ""
	}
	return fmt.Sprintf("%q is not HOST or HOST:PORT", text), "give the address that the computes reach this host at, such as 192.0.2.10:8440"
}

// oneOf accepts the given words.
func oneOf(words ...string) check {
	return func(_ *yaml.Node, text string) (wrong, hint string) {
		if slices.Contains(words, text) {
			return "", ""
		}
		return fmt.Sprintf("%q is not known", text), suggest.Hint(text, words, "one of "+strings.Join(words, ", "))
	}
}

// unique accepts a text once per group.
func (d *decoder) unique(group string) check {
	return func(n *yaml.Node, text string) (wrong, hint string) {
		key := group + "\x00" + text
		if line, ok := d.seen[key]; ok {
			return fmt.Sprintf("%s %q is already used on line %d", group, text, line), "give each its own"
		}
		d.seen[key] = n.Line
		return "", ""
	}
}

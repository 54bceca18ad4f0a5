package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/coverage"
	"holdfast/internal/report"
)

// promises say of each kind what its breaking risks, and what mends it; TIER and SOURCE stand for what it is about, FROM for the tier
// where one is.
var promises = map[string]struct{ name, risk, next string }{
	"rpo":     {"a recent copy of SOURCE in tier TIER", "What changed since the newest good copy would be lost, should that tier be what is left.", "holdfast replicate TIER"},
	"damage":  {"whole copies of SOURCE in tier TIER", "The newest point cannot be restored in full from that tier.", "holdfast verify --heal --all --tier TIER"},
	"tier":    {"tier TIER can be opened", "Its copies cannot be restored from, and nothing new reaches it.", "holdfast doctor"},
	"verify":  {"tier TIER is verified as a whole", "Damage there may have gone unnoticed until it is needed.", "holdfast verify --all --tier TIER"},
	"drill":   {"a proven restore of SOURCE FROM", "A restore may fail, or not bring back what was there.", "holdfast drill SOURCE (--shard N)"},
	"kit":     {"a recovery kit is kept elsewhere", "After the loss of this host nobody could open the vaults.", "holdfast kit write, store it outside the cloud, then holdfast kit confirm"},
	"copies":  {"enough copies on storage of their own", "One storage system less, and there may be no copy left.", "holdfast replicate"},
	"offsite": {"a copy offsite", "The loss of the site would be the loss of the data.", "holdfast replicate"},
	"daemon":  {"the daemon's SOURCE is in order", "What it does, or tells, is not what holdfast.yml says.", "holdfast queue"},
	"locked":  {"the lock of tier TIER holds", "Who gets hold of its keys could delete the copies there.", "holdfast replicate TIER"},
}

func about(text, tier, source string) string {
	from := ""
	if tier != "" {
		from = "from tier " + tier
	}
	text = strings.NewReplacer("FROM", from, "TIER", tier, "SOURCE", source).Replace(text)
	return strings.Join(strings.Fields(text), " ")
}

func promiseName(kind, tier, source string) string {
	if p, ok := promises[kind]; ok {
		return about(p.name, tier, source)
	}
	return strings.TrimSpace(kind + " " + tier + " " + source)
}

// wrong mends what a drill found in a tier.
const wrong = "holdfast verify --heal --all --full --tier TIER, then drill that shard again: holdfast drill SOURCE --from TIER --shard N"

// brokenItem is the news of a broken promise. What the first tier lacks is mended by a backup, what others lack by replication. A drill
// that is late is about no tier, one that found something wrong is.
func brokenItem(b coverage.Broken, key string, now time.Time, first bool) item {
	next := "holdfast status"
	if p, ok := promises[b.Promise]; ok {
		next = about(p.next, b.Tier, b.Source)
	}
	switch {
	case b.Promise == "rpo" && first:
		next = "holdfast backup " + b.Source
	case b.Promise == "drill" && b.Tier != "":
		next = about(wrong, b.Tier, b.Source)
	}
	n := item{
		Kind: promise, Key: key, First: now, Last: now, Promise: b.Promise, Tier: b.Tier, Next: next,
		Title: "broken promise: " + promiseName(b.Promise, b.Tier, b.Source), Text: b.Text,
	}
	if b.Source != "" {
		n.Sources = []string{b.Source}
	}
	return n
}

// unknown is said of the risk before anybody has looked.
const unknown = "Not known here yet: holdfast status tells how old the newest good copies are."

// risk says what could be lost now, as far as the overview knows.
func risk(n item, o *coverage.Overview) []string {
	if n.Kind != failure && n.Kind != promise {
		return nil
	}
	var lines []string
	if p, ok := promises[n.Promise]; ok {
		lines = append(lines, p.risk)
	}
	if o == nil || o.At.IsZero() {
		return append(lines, unknown)
	}
	for _, source := range sourcesOf(n, o) {
		lines = append(lines, exposure(o, source, n.Tier))
	}
	switch n.Step {
	case "verify":
		lines = append(lines, "Whether the points can be read back is not proven by this run.")
	case "prune":
		lines = append(lines, fmt.Sprintf("Nothing is lost, but no space is freed: %s are free in the first tier.", report.Size(o.Free)))
	case "drill":
		lines = append(lines, "That a restore works is not proven by this run.")
	}
	return append(lines, otherBroken(n, o)...)
}

// sourcesOf are the sources that news is about; all, where it names none and is about data.
func sourcesOf(n item, o *coverage.Overview) []string {
	if len(n.Sources) > 0 {
		return n.Sources
	}
	if n.Step != "backup" && n.Step != "replicate" {
		return nil
	}
	var all []string
	for _, x := range o.Components {
		if !slices.Contains(all, x.Source) {
			all = append(all, x.Source)
		}
	}
	return all
}

// exposure says how old the worst of a source's newest good copies is in a tier, the first where none is named.
func exposure(o *coverage.Overview, source, tier string) string {
	if tier == "" && len(o.Tiers) > 0 {
		tier = o.Tiers[0].Tier
	}
	worst, late, none, components := 0.0, 0, 0, 0
	rpo := 0.0
	for _, x := range o.Components {
		if x.Source != source || x.Gone {
			continue
		}
		components++
		rpo = x.RPOSeconds
		for _, c := range x.Tiers {
			switch {
			case c.Tier != tier:
			case c.Point == "":
				none++
			default:
				worst = max(worst, c.AgeSeconds)
			}
			if c.Tier == tier && c.Late {
				late++
			}
		}
	}
	since := span(worst)
	switch {
	case components == 0 || none == components:
		return fmt.Sprintf("There is no good copy of %s in tier %s: all of it would be lost there.", source, tier)
	case none > 0:
		return fmt.Sprintf("Tier %s has no good copy of %d of %d components of %s, and the oldest of the others is %s old.", tier, none, components, source, since)
	case late > 0:
		return fmt.Sprintf("The newest good copy of %s in tier %s is up to %s old, more than was promised (%s).", source, tier, since, span(rpo))
	}
	return fmt.Sprintf("The newest good copy of %s in tier %s is up to %s old; promised are %s.", source, tier, since, span(rpo))
}

func span(seconds float64) string { return report.Span(time.Duration(seconds * float64(time.Second))) }

// otherBroken are the promises that are broken already and are about the same.
func otherBroken(n item, o *coverage.Overview) (lines []string) {
	const most = 3
	for _, b := range o.Broken {
		if len(lines) == most || n.Kind == promise {
			break
		}
		if b.Tier == n.Tier && n.Tier != "" || slices.Contains(n.Sources, b.Source) {
			lines = append(lines, "Broken already: "+b.Text)
		}
	}
	return lines
}

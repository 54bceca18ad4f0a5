package rbd

import (
	"fmt"
	"strings"
	"time"
)

// marker makes and knows the names of our snapshots. Cinder removes snapshots called backup.<id>.snap.<time> by itself
// when a volume is deleted, and tells its own from others' by the id.
type marker struct{ prefix string }

const (
	anyPrefix   = "backup.holdfast-"
	vaultDigits = 8
)

func newMarker(vault string) marker {
	return marker{anyPrefix + vault[:min(len(vault), vaultDigits)] + "-"}
}

// name is a run's snapshot.
func (m marker) name(run string, at time.Time) string {
	return fmt.Sprintf("%s%s.snap.%d", m.prefix, run, at.Unix())
}

// ours reports whether a snapshot was made for this vault.
func (m marker) ours(snapshot string) bool { return strings.HasPrefix(snapshot, m.prefix) }

// foreign reports whether a snapshot was made by Holdfast for another vault.
func (m marker) foreign(snapshot string) bool {
	return strings.HasPrefix(snapshot, anyPrefix) && !m.ours(snapshot)
}

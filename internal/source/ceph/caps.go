package ceph

import (
	"fmt"
	"slices"
	"strings"
)

// capability is something that a client must be allowed to: of a service (mon, mgr, osd), in Ceph's own words.
type capability struct{ service, words string }

func (c capability) String() string { return c.service + " '" + c.words + "'" }

// What the client needs on every cluster.
var (
	manager  = capability{"mgr", "allow r"}
	everyone = []capability{
		{"mon", "profile rbd"}, {"mon", "allow r"}, keyList.need, mayGetKeys, {"mon", `allow command "auth export"`},
		{"mgr", "profile rbd"}, manager,
	}
)

// backsUp lets a client snapshot, read and restore the images of a pool; looksAt lets it see what there is.
func backsUp(pool string) capability { return capability{"osd", "profile rbd pool=" + pool} }
func looksAt(pool string) capability { return capability{"osd", "profile rbd-read-only pool=" + pool} }

// gatewayRoot lets a client read the gateway's configuration.
var gatewayRoot = capability{"osd", "allow r pool=" + rootPool}

// mayList lets a client see the names of the gateway's users.
func (p place) mayList() capability {
	words := "allow r pool=" + p.pool
	if p.namespace != "" {
		words += " namespace=" + p.namespace
	}
	return capability{"osd", words}
}

// grant is the command that gives a client capabilities, and takes all others from it.
func grant(id string, needed []capability) string {
	line := "ceph auth caps client." + id
	for _, service := range []string{"mon", "mgr", "osd"} {
		var words []string
		for _, c := range needed {
			if c.service == service && !slices.Contains(words, c.words) {
				words = append(words, c.words)
			}
		}
		if len(words) > 0 {
			line += fmt.Sprintf(" %s %s", service, quoted(strings.Join(words, ", ")))
		}
	}
	return line
}

package vault

import (
	"maps"
	"slices"
	"sync"

	"github.com/kopia/kopia/repo/content"
)

// contentSet is a set of contents, safe for concurrent use.
type contentSet struct {
	mu   *sync.Mutex
	seen map[content.ID]struct{}
}

func newContentSet() contentSet {
	return contentSet{&sync.Mutex{}, map[content.ID]struct{}{}}
}

// add reports whether id was not in the set before.
func (c contentSet) add(id content.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.seen[id]; ok {
		return false
	}
	c.seen[id] = struct{}{}
	return true
}

func (c contentSet) has(id content.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.seen[id]
	return ok
}

func (c contentSet) remove(id content.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, id)
}

func (c contentSet) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

func (c contentSet) all() []content.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.seen))
}

package vault

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
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

// fingerprints is a set of very many contents, by eight bytes of each one's name: a sixth of the memory that names take.
// Names are keyed hashes, so of 20 million two are alike in one vault of 100,000, and then one is taken for the other.
type fingerprints map[uint64]struct{}

// add reports whether id was not in the set before.
func (f fingerprints) add(id content.ID) bool {
	was := len(f)
	f[fingerprint(id)] = struct{}{}
	return len(f) > was
}

func (f fingerprints) has(id content.ID) bool {
	_, ok := f[fingerprint(id)]
	return ok
}

func fingerprint(id content.ID) uint64 {
	n := binary.LittleEndian.Uint64(id.Hash())
	for _, c := range []byte(id.Prefix()) { // directories and files may hold the same bytes
		n ^= uint64(c)
	}
	return n
}

// sampled is a set of contents that remembers the names of some: of one in readBackShare, and of readBackLeast at least.
type sampled struct {
	mu     sync.Mutex
	seen   fingerprints
	some   map[content.ID]struct{} // one in so many
	always []content.ID            // any of the set with the same chance as any other
}

func newSampled() *sampled {
	return &sampled{seen: fingerprints{}, some: map[content.ID]struct{}{}}
}

// add reports whether id was not in the set before.
func (s *sampled) add(id content.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.seen.add(id) {
		return false
	}
	if rand.IntN(readBackShare) == 0 {
		s.some[id] = struct{}{}
	}
	if len(s.always) < readBackLeast {
		s.always = append(s.always, id)
	} else if n := rand.IntN(len(s.seen)); n < readBackLeast {
		s.always[n] = id
	}
	return true
}

func (s *sampled) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// sample returns the remembered names.
func (s *sampled) sample() []content.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.some)
	for _, id := range s.always {
		all[id] = struct{}{}
	}
	return slices.Collect(maps.Keys(all))
}

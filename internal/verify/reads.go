package verify

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"holdfast/internal/durable"
)

// Pack is a part of a tier's data that is read as a whole.
type Pack struct {
	ID      string
	Bytes   int64
	Written time.Time
}

// Reads is a small file in the state directory that remembers when each pack of a tier was last read.
type Reads struct {
	Dir  string
	Tier string
}

func (r Reads) file() string { return filepath.Join(r.Dir, "read-"+r.Tier+".packs") }

// read is when packs were read, by eight bytes of a hash of their names: a vault has many. The key 0 is when something was read last.
type read map[uint64]time.Time

const readEntry = 12 // bytes: eight of the key, four of the time in hours since 1970

func key(pack string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(pack)) // a hash takes everything
	return max(h.Sum64(), 1)
}

// load returns what is remembered. A file that cannot be read proves nothing was read.
func (r Reads) load() (read, error) {
	data, err := os.ReadFile(r.file())
	if errors.Is(err, fs.ErrNotExist) {
		return read{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was read when: %w", err)
	}
	all := read{}
	for e := range slices.Chunk(data, readEntry) {
		if len(e) == readEntry {
			all[binary.BigEndian.Uint64(e)] = time.Unix(int64(binary.BigEndian.Uint32(e[8:]))*3600, 0)
		}
	}
	return all, nil
}

// Due chooses the packs to read now, so that each is read once within a time: those that were not read for the longest, where a pack
// counts as read when it was written. It returns their names and the share of the bytes that they are, in percent.
func (r Reads) Due(packs []Pack, now time.Time, within time.Duration) (due map[string]bool, percent float64, err error) {
	seen, err := r.load()
	if err != nil {
		return nil, 0, err
	}
	since := min(max(now.Sub(orTime(seen[0], now.Add(-24*time.Hour))), time.Hour), within)
	var total int64
	last := make(map[string]time.Time, len(packs))
	for _, p := range packs {
		total += p.Bytes
		last[p.ID] = p.Written
		if at := seen[key(p.ID)]; at.After(p.Written) {
			last[p.ID] = at
		}
	}
	sorted := slices.SortedFunc(slices.Values(packs), func(a, b Pack) int {
		return cmp.Or(last[a.ID].Compare(last[b.ID]), cmp.Compare(a.ID, b.ID))
	})
	budget := float64(total) * float64(since) / float64(within)
	late := now.Add(since - within) // before the next time, if that is as far away as the last
	due = map[string]bool{}
	var taken int64
	for _, p := range sorted {
		if float64(taken) >= budget && !last[p.ID].Before(late) {
			break
		}
		due[p.ID] = true
		taken += p.Bytes
	}
	if total > 0 {
		percent = 100 * float64(taken) / float64(total)
	}
	return due, percent, nil
}

func orTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

// Done notes that packs were read, and forgets those that are no more among all.
func (r Reads) Done(all []Pack, now time.Time, was func(pack string) bool) error {
	seen, err := r.load()
	if err != nil {
		seen = read{}
	}
	next := read{0: now}
	for _, p := range all {
		k := key(p.ID)
		if at, ok := seen[k]; ok {
			next[k] = at
		}
		if was(p.ID) {
			next[k] = now
		}
	}
	data := make([]byte, 0, len(next)*readEntry)
	for _, k := range slices.Sorted(maps.Keys(next)) {
		data = binary.BigEndian.AppendUint64(data, k)
		data = binary.BigEndian.AppendUint32(data, uint32(next[k].Unix()/3600))
	}
	return durable.WriteFile(r.file(), data, 0o600)
}

// Last is when all points were last verified together, the zero time if they never were.
func (r Reads) Last() (time.Time, error) {
	seen, err := r.load()
	return seen[0], err
}

// Oldest is since when all packs were read, or written.
func (r Reads) Oldest(packs []Pack) (oldest time.Time, err error) {
	seen, err := r.load()
	for _, p := range packs {
		at := p.Written
		if s := seen[key(p.ID)]; s.After(at) {
			at = s
		}
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	return oldest, err
}

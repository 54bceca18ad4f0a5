package restore

import (
	"cmp"
	"io"
	"slices"

	"holdfast/internal/stream/rbddiff"
	"holdfast/internal/vault"
)

// changes are what must be written over an image that holds what base holds, or zeros when that is nil, to make it hold
// what file holds: ascending extents of file's bytes or of zeros.
func changes(file, base *vault.File) ([]rbddiff.Extent, error) {
	data, err := file.Extents()
	if err != nil || base == nil {
		return marked(data, false), err
	}
	different := file.Differs(base)
	held := []vault.Extent{{Length: min(base.Size(), file.Size())}}
	write := intersect(different, data)
	zero := intersect(subtract(different, data), held)
	return ordered(append(marked(write, false), marked(zero, true)...)), nil
}

func ordered(all []rbddiff.Extent) []rbddiff.Extent {
	slices.SortFunc(all, func(a, b rbddiff.Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	return all
}

func marked(extents []vault.Extent, zero bool) []rbddiff.Extent {
	all := make([]rbddiff.Extent, len(extents))
	for i, e := range extents {
		all[i] = rbddiff.Extent{Offset: e.Offset, Length: e.Length, Zero: zero}
	}
	return all
}

// intersect returns what lies in both of two ascending lists.
func intersect(a, b []vault.Extent) (out []vault.Extent) {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		from, to := max(a[i].Offset, b[j].Offset), min(a[i].End(), b[j].End())
		if from < to {
			out = append(out, vault.Extent{Offset: from, Length: to - from})
		}
		if a[i].End() < b[j].End() {
			i++
		} else {
			j++
		}
	}
	return out
}

// subtract returns what lies in a and not in b, both ascending.
func subtract(a, b []vault.Extent) (out []vault.Extent) {
	j := 0
	for _, e := range a {
		for ; j < len(b) && b[j].End() <= e.Offset; j++ {
		}
		at := e.Offset
		for k := j; k < len(b) && b[k].Offset < e.End(); k++ {
			if b[k].Offset > at {
				out = append(out, vault.Extent{Offset: at, Length: b[k].Offset - at})
			}
			at = b[k].End()
		}
		if at < e.End() {
			out = append(out, vault.Extent{Offset: at, Length: e.End() - at})
		}
	}
	return out
}

// union returns what lies in either of two ascending lists.
func union(a, b []vault.Extent) (out []vault.Extent) {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y vault.Extent) int { return cmp.Compare(x.Offset, y.Offset) })
	for _, e := range all {
		if n := len(out); n > 0 && e.Offset <= out[n-1].End() {
			out[n-1].Length = max(out[n-1].End(), e.End()) - out[n-1].Offset
			continue
		}
		out = append(out, e)
	}
	return out
}

// recordSize bounds the records that an image is written by: rbd import-diff writes one at a time into an object, which is
// soonest done with all of an object of the usual size.
const recordSize = 4 << 20

// sendDiff writes changes to an image as a stream for rbd import-diff, with the bytes of file.
func sendDiff(w io.Writer, file *vault.File, all []rbddiff.Extent, count func(int64)) error {
	d, err := rbddiff.NewWriter(w, rbddiff.Header{Size: file.Size()})
	if err != nil {
		return err
	}
	records := recordsOf(all)
	next := func() error {
		for len(records) > 0 {
			r := records[0]
			records = records[1:]
			if err := d.Next(r); err != nil || !r.Zero {
				return err
			}
		}
		return nil
	}
	if err := next(); err != nil {
		return err
	}
	err = file.Walk(dataOf(all), func(_ int64, part []byte) error {
		for len(part) > 0 {
			n, err := d.Write(part[:min(int64(len(part)), d.Left())])
			count(int64(n))
			part = part[n:]
			if err == nil && d.Left() == 0 {
				err = next()
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.Close()
}

// recordsOf cuts extents of bytes into records, none of which lies in two objects.
func recordsOf(all []rbddiff.Extent) (records []rbddiff.Extent) {
	for _, e := range all {
		end := e.End()
		for !e.Zero && e.Length > 0 {
			e.Length = min(end, (e.Offset/recordSize+1)*recordSize) - e.Offset
			records = append(records, e)
			e.Offset, e.Length = e.End(), end-e.End()
		}
		if e.Zero {
			records = append(records, e)
		}
	}
	return records
}

// dataOf are the extents that are not of zeros.
func dataOf(all []rbddiff.Extent) (data []vault.Extent) {
	for _, e := range all {
		if !e.Zero {
			data = append(data, vault.Extent{Offset: e.Offset, Length: e.Length})
		}
	}
	return data
}

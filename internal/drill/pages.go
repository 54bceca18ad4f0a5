package drill

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/host"
)

// InnoDB's pages, as far as a drill reads them: where a page has its log sequence number, and where the first page of a file has
// the flags that say how its pages are made.
const (
	pageLSN    = 16
	spaceFlags = 38 + 16
)

// pageFormat is how the pages of a file are made.
type pageFormat struct {
	size int
	full bool // the checksum covers all of the page and stands at its end
	odd  bool // compressed: only innochecksum can tell whether such a page is right
}

// formatOf reads the flags of a file.
func formatOf(flags uint32) pageFormat {
	const full = 1 << 4
	if flags&full != 0 {
		return pageFormat{size: 512 << (flags & 0xf), full: true, odd: flags>>5&7 != 0}
	}
	f := pageFormat{size: 16 << 10, odd: flags>>16&1 != 0}
	if n := flags >> 6 & 0xf; n != 0 {
		f.size = 512 << n
	}
	if n := flags >> 1 & 0xf; n != 0 {
		f.size, f.odd = 512<<n, true
	}
	return f
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// right reports whether a page has its checksum. A page of zeros was never used, and has none.
func (f pageFormat) right(page []byte) bool {
	end := len(page)
	if f.full {
		if binary.BigEndian.Uint32(page[end-4:]) == crc32.Checksum(page[:end-4], castagnoli) {
			return true
		}
		return zero(page)
	}
	sum := crc32.Checksum(page[4:26], castagnoli) ^ crc32.Checksum(page[38:end-8], castagnoli)
	if binary.BigEndian.Uint32(page) == sum && binary.BigEndian.Uint32(page[end-8:]) == sum {
		return true
	}
	return zero(page)
}

func zero(page []byte) bool {
	for _, b := range page {
		if b != 0 {
			return false
		}
	}
	return true
}

// filePages is what a look at the pages of one file tells.
type filePages struct {
	pages, wrong int64
	first        int64  // of the wrong ones
	lsn          uint64 // the highest
	odd          bool
}

// readPages looks at every page.
func readPages(r io.Reader, count func(int64)) (f filePages, err error) {
	in := bufio.NewReaderSize(r, 1<<20)
	head, err := in.Peek(spaceFlags + 4)
	if err != nil {
		return f, fmt.Errorf("read the first page: %w", err)
	}
	format := formatOf(binary.BigEndian.Uint32(head[spaceFlags:]))
	if format.size < 1<<10 || format.size > 64<<10 {
		return f, fmt.Errorf("pages of %d bytes make no sense", format.size)
	}
	f.odd = format.odd
	page := make([]byte, format.size)
	for {
		_, err := io.ReadFull(in, page)
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil { // the last page is cut
			f.wrong++
			return f, nil
		}
		if !format.odd && !format.right(page) {
			if f.wrong++; f.wrong == 1 {
				f.first = f.pages
			}
		}
		f.pages++
		f.lsn = max(f.lsn, binary.BigEndian.Uint64(page[pageLSN:]))
		count(int64(len(page)))
	}
}

// filesAtOnce is how many files are read side by side.
const filesAtOnce = 2

// checkPages reads every page of every file of InnoDB, and returns the highest log sequence number of each table, by its
// files' name. A file that looks wrong is looked at again by the server's own tool, whose word counts.
func (p *part) checkPages(count func(int64)) (map[string]uint64, error) {
	data := filepath.Join(p.dir, "data")
	lsn := map[string]uint64{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(filesAtOnce)
	err := filepath.WalkDir(data, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !hasPages(filepath.Base(name)) {
			return err
		}
		g.Go(func() error {
			f, err := p.checkFile(name, func(n int64) {
				mu.Lock()
				defer mu.Unlock()
				count(n)
			})
			mu.Lock()
			defer mu.Unlock()
			rel := name[len(data)+1:]
			if f.wrong > 0 {
				p.finds("page", rel, "%d of %d pages have a wrong checksum, the first is page %d", f.wrong, f.pages, f.first)
			}
			p.result.Pages += f.pages - f.wrong
			table := tableOf(rel)
			lsn[table] = max(lsn[table], f.lsn)
			return err
		})
		return p.ctx.Err()
	})
	return lsn, errors.Join(err, g.Wait())
}

// hasPages reports whether a file of that name holds pages of InnoDB.
func hasPages(name string) bool {
	return strings.HasSuffix(name, ".ibd") || strings.HasPrefix(name, "ibdata") || strings.HasPrefix(name, "undo0")
}

// tableOf names the table of a file as files do: DB/TABLE, without partitions.
func tableOf(file string) string {
	name := strings.TrimSuffix(file, ".ibd")
	for _, part := range []string{"#P#", "#p#"} {
		name, _, _ = strings.Cut(name, part)
	}
	return name
}

func (p *part) checkFile(name string, count func(int64)) (filePages, error) {
	file, err := os.Open(name)
	if err != nil {
		return filePages{}, err
	}
	defer file.Close()
	f, err := readPages(file, count)
	if err != nil || f.wrong > 0 || f.odd {
		return p.again(name, f, err)
	}
	return f, nil
}

// again has innochecksum look at a file.
func (p *part) again(name string, f filePages, cause error) (filePages, error) {
	where := p.programs.home(p.dir) + name[len(p.dir):]
	out, err := p.tool("checksum", where)
	var exit *host.ExitError
	switch {
	case err == nil:
		f.wrong = 0
		return f, nil
	case !errors.As(err, &exit):
		return f, err
	case f.wrong == 0:
		f.wrong = 1
	}
	if cause != nil {
		p.note("%s: %v", filepath.Base(name), cause)
	}
	p.note("innochecksum says of %s: %s", filepath.Base(name), lastLine(out))
	return f, nil
}

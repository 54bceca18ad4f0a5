package vault

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/stream"
)

// BenchmarkWrite writes a tree as a physical backup does: several files of pages at once, sealed and synced. The
// source is HOLDFAST_BENCH_DATADIR, or 256 MiB made up; TMPDIR says on which disk.
func BenchmarkWrite(b *testing.B) {
	sources := benchSources(b)
	for b.Loop() {
		loc := Location{URL: filepath.Join(b.TempDir(), "vault")}
		if err := Create(b.Context(), loc, testPass, CreateOptions{Cloud: testCloud}); err != nil {
			b.Fatal(err)
		}
		v, err := Open(b.Context(), loc, testPass, OpenOptions{Cloud: testCloud, State: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		writeBench(b, v, sources)
		if err := v.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func writeBench(b *testing.B, v *Vault, sources map[string]io.ReaderAt) {
	start, cpu := time.Now(), cpuSeconds()
	s, err := v.Begin(b.Context(), "p", "mariadb")
	if err != nil {
		b.Fatal(err)
	}
	tr := s.Tree("data")
	var total int64
	buf := make([]byte, 64<<10)
	for name, r := range sources {
		h := stream.Pages
		if strings.HasSuffix(name, ".sql") {
			h = stream.Plain
		}
		f, err := tr.Create(name, meta(0o600), h)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{io.NewSectionReader(r, 0, 1<<40)}, buf)
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
		total += n
	}
	fed := time.Since(start)
	res, err := s.Seal(b.Context(), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	wall, used := time.Since(start), cpuSeconds()-cpu
	gb := float64(total) / 1e9
	b.Logf("%.2f GB: wall %.2f s (seal %.2f s), %.0f MB/s, cpu %.2f s/GB, new %.1f MB, ratio %.2f, contents %d, resident %s",
		gb, wall.Seconds(), (wall - fed).Seconds(), 1000*gb/wall.Seconds(), used/gb, float64(res.NewBytes)/1e6, float64(total)/float64(res.NewBytes), res.NewContents, peak())
}

func benchSources(b *testing.B) map[string]io.ReaderAt {
	dir := os.Getenv("HOLDFAST_BENCH_DATADIR")
	sources := map[string]io.ReaderAt{}
	if dir == "" {
		for i := range byte(4) {
			sources[string('a'+rune(i))+".ibd"] = strings.NewReader(string(pages(64<<20, i)))
		}
		return sources
	}
	err := filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		if err != nil || !fi.Mode().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		sources[strings.ReplaceAll(strings.TrimPrefix(path, dir+"/"), "/", "_")] = f
		b.Cleanup(func() { f.Close() })
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return sources
}

// peak returns the largest resident memory of this process so far.
func peak() string {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}

func cpuSeconds() float64 {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9
}

// BenchmarkSparseImage writes and seals an image of 100 GiB that holds little.
func BenchmarkSparseImage(b *testing.B) {
	v := newVault(b)
	for b.Loop() {
		s, err := v.Begin(b.Context(), "p", "rbd")
		if err != nil {
			b.Fatal(err)
		}
		i, err := s.Image("rbd/volumes/v.raw", meta(0o600), ImageOptions{Size: 100 << 30})
		if err != nil {
			b.Fatal(err)
		}
		for n := range int64(10) {
			if err := i.Next(n<<30, 4096); err != nil {
				b.Fatal(err)
			}
			if _, err := i.Write(make([]byte, 4096)); err != nil {
				b.Fatal(err)
			}
		}
		if err := i.Close(); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Seal(b.Context(), "manifest", nil); err != nil {
			b.Fatal(err)
		}
	}
}

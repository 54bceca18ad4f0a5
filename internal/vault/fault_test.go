package vault

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/stream"
)

// writerEnv makes the test binary a process that writes points into the vault it names until it is killed.
const writerEnv = "HOLDFAST_TEST_WRITER"

func TestMain(m *testing.M) {
	if url := os.Getenv(writerEnv); url != "" {
		fmt.Fprintln(os.Stderr, writeForEver(Location{URL: url}))
		os.Exit(1)
	}
	if from, to, ok := strings.Cut(os.Getenv(copierEnv), " "); ok {
		if err := copyAll(Location{URL: from}, Location{URL: to}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if url := os.Getenv(prunerEnv); url != "" {
		if err := prune(Location{URL: url}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if what, url, ok := strings.Cut(os.Getenv(manyEnv), "="); ok {
		if err := withMany(what, url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writeForEver seals one point after another and says each on stdout.
func writeForEver(loc Location) error {
	ctx := context.Background()
	v, err := Open(ctx, loc, testPass, OpenOptions{Cloud: testCloud})
	if err != nil {
		return err
	}
	if _, err := v.Lock("mariadb"); err != nil {
		return err
	}
	fmt.Println("begun")
	for i := 0; ; i++ {
		id := fmt.Sprintf("p%d-%d", os.Getpid(), i)
		if err := writePoint(ctx, v, id, byte(i)); err != nil {
			return err
		}
		fmt.Println(id)
	}
}

func writePoint(ctx context.Context, v *Vault, id string, seed byte) error {
	s, err := v.Begin(ctx, id, "mariadb")
	if err != nil {
		return err
	}
	f, err := s.Tree("db").Create("t.ibd", meta(0o600), stream.Pages)
	if err != nil {
		return err
	}
	if _, err := f.Write(noise(4<<20, seed)); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if _, err := s.Seal(ctx, nil, nil); err != nil {
		return err
	}
	return v.SealPoint(ctx, point.Point{ID: id, Cloud: testCloud, State: point.Complete, Components: []point.Component{good("mariadb", "db")}})
}

// TestKill kills a writing process at several moments: every point it had sealed is there and whole, nothing else is
// visible, the lock is free again and what it left can be swept.
func TestKill(t *testing.T) {
	loc := newVault(t).Location()
	sealed := map[string]bool{}
	for _, wait := range []time.Duration{5, 70, 160, 290, 520} {
		for _, id := range killed(t, loc, wait*time.Millisecond) {
			sealed[id] = true
		}
	}
	v := openVault(t, loc)
	points, err := v.Points(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		delete(sealed, p.ID)
	}
	if len(sealed) > 0 {
		t.Errorf("acknowledged points are lost: %v", sealed)
	}
	if len(points) > 0 {
		if _, err := v.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil {
			t.Error(err)
		}
	}
	sweep(t, v, "mariadb")
	if left, err := v.Orphans(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("orphans left = %v, %v", left, err)
	}
	if err := writePoint(t.Context(), v, "after", 99); err != nil {
		t.Errorf("write after the kills: %v", err)
	}
}

// killed runs a writer, kills it after wait and returns the points it had acknowledged.
func killed(t *testing.T, loc Location, wait time.Duration) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+loc.URL)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the writer did not begin")
	}
	time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
	var ids []string
	for lines.Scan() {
		ids = append(ids, lines.Text())
	}
	_ = cmd.Wait() // it was killed
	return ids
}

func TestLockNamesItsHolder(t *testing.T) {
	v := newVault(t)
	unlock, err := v.Lock("mariadb")
	if err != nil {
		t.Fatal(err)
	}
	other := openVault(t, v.Location())
	_, err = other.Lock("mariadb")
	if problem.KindOf(err) != problem.Busy || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("second lock = %v", err)
	}
	if u, err := other.Lock("kolla"); err != nil {
		t.Errorf("another source = %v", err)
	} else {
		u()
	}
	unlock()
	if u, err := other.Lock("mariadb"); err != nil {
		t.Errorf("after unlock = %v", err)
	} else {
		u()
	}
}

// TestFullDisk fills the vault's filesystem: the session fails with a hint, earlier points stay whole, and a smaller
// one still fits.
func TestFullDisk(t *testing.T) {
	mount := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	loc := Location{URL: filepath.Join(mount, "vault")}
	if err := Create(t.Context(), loc, testPass, CreateOptions{Cloud: testCloud}); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), loc, testPass, OpenOptions{Cloud: testCloud, State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close(context.Background())
	if err := writePoint(t.Context(), v, "first", 1); err != nil {
		t.Fatal(err)
	}
	s := begin(t, v, "toolarge", "mariadb")
	err = fillDisk(s)
	if _, sealErr := s.Seal(t.Context(), nil, nil); sealErr == nil {
		t.Error("sealed on a full disk")
	} else if err == nil {
		err = sealErr // what was on its way failed later
	}
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(problem.HintOf(err), "free space") {
		t.Errorf("error = %v, hint %q", err, problem.HintOf(err))
	}
	if _, err := v.Verify(t.Context(), "first", VerifyOptions{Depth: Full}); err != nil {
		t.Errorf("the earlier point: %v", err)
	}
	if points, err := v.Points(t.Context()); err != nil || len(points) != 1 {
		t.Errorf("points = %v, %v", points, err)
	}
}

// fillDisk writes more than fits and returns the first error.
func fillDisk(s *Session) error {
	f, err := s.Tree("db").Create("t.ibd", meta(0o600), stream.Pages)
	if err != nil {
		return err
	}
	for i := range 40 {
		if _, err := f.Write(noise(4<<20, byte(100+i))); err != nil {
			f.Abort()
			return err
		}
	}
	return f.Close()
}

// TestCancel ends the context of a session while it writes.
func TestCancel(t *testing.T) {
	v := newVault(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := v.Begin(ctx, "p", "mariadb")
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Tree("db").Create("t.ibd", meta(0o600), stream.Pages)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err = io.CopyN(f, endless{}, 1<<30); !errors.Is(err, context.Canceled) {
		t.Errorf("write = %v", err)
	}
	f.Abort()
	if _, err := s.Seal(t.Context(), nil, nil); problem.KindOf(err) != problem.Interrupted {
		t.Errorf("seal = %v", err)
	}
}

// endless is a source of other bytes each time.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	copy(p, noise(min(len(p), 32<<10), byte(time.Now().UnixNano())))
	return len(p), nil
}

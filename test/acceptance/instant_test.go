package acceptance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/event"
	"holdfast/internal/restore"
	"holdfast/test/journey"
)

// TestInstantRestoreInUse uses an image while it is restored: what is read is what the point holds, what is written
// stays, and nothing but the data is stored.
func TestInstantRestoreInUse(t *testing.T) {
	s := newInstantScene(t, "inuse", 384, 60)
	want := bytes.Clone(s.raw)
	run := s.instant("vms/inuse")
	if _, ok := run.Await(usable); !ok {
		t.Fatalf("never usable: %+v", run.Wait())
	}
	c := s.client("vms/inuse")
	for n := range 40 {
		c.write(n*9<<20+n*512, 4096, uint64(n), want)
	}
	c.close()
	if _, ok := run.Await(step(event.Started, "copy")); !ok {
		t.Fatalf("no copy: %+v", run.Wait())
	}
	s.frozen(run, func() { s.holds("vms/inuse", want) })
	if r := run.Wait(); r.Code != 0 {
		t.Fatalf("ended with %d\n%s", r.Code, r.Stderr)
	}
	s.holds("vms/inuse", want)
	if info := s.rbd("info", "vms/inuse"); strings.Contains(info, "migrating") || !strings.Contains(info, "fast-diff") {
		t.Errorf("after the end:\n%s", info)
	}
	// The point's 60 runs and the objects that were written to.
	if used := s.used("vms/inuse"); used > (60+40)<<22 {
		t.Errorf("%d bytes are used", used)
	}
	s.ended()
}

// frozen does something while the copy stands still, if it has not ended before.
func (s *instantScene) frozen(run *journey.Run, do func()) {
	s.t.Helper()
	for stopped := false; !stopped; time.Sleep(5 * time.Millisecond) {
		for _, p := range journey.Descendants(run.PID()) {
			if p.Name() == "rbd" && p.Has("execute") && syscall.Kill(p.PID, syscall.SIGSTOP) == nil {
				defer func() { _ = syscall.Kill(p.PID, syscall.SIGCONT) }() // it may have been killed
				stopped = true
			}
		}
		select {
		case <-run.Ended():
			stopped = true
		default:
		}
	}
	do()
}

// TestInstantRestoreStoresOnlyData restores a large image with little in it.
func TestInstantRestoreStoresOnlyData(t *testing.T) {
	s := newInstantScene(t, "sparse", 100<<10, 50)
	started := time.Now()
	run := s.instant("vms/sparse")
	if _, ok := run.Await(usable); !ok {
		t.Fatalf("never usable: %+v", run.Wait())
	}
	c := s.client("vms/sparse")
	c.write(50<<30, 4096, 7, nil)
	t.Logf("first write after %v", time.Since(started))
	c.close()
	if r := run.Wait(); r.Code != 0 {
		t.Fatalf("ended with %d\n%s", r.Code, r.Stderr)
	}
	if used, data := s.used("vms/sparse"), int64(50<<22); used > data*11/10 {
		t.Errorf("%d bytes are used for %d of data", used, data)
	}
	s.ended()
}

// TestInstantRestoreKilledAnywhere kills restores at each of their steps and at random moments, and looks at what status says. One
// command brings each to its end; they wait together for the half minute that Ceph keeps the lock of a client that was killed.
func TestInstantRestoreKilledAnywhere(t *testing.T) {
	s := newInstantScene(t, "killed", 256, 40)
	s.killed("preparing", step(event.Started, "prepare"), 0)
	s.killed("copying", step(event.Started, "copy"), 0)
	s.killed("committing", step(event.Started, "commit"), 0)
	r := rand.New(rand.NewPCG(3, 1))
	for n := range randomKills() {
		s.killed(fmt.Sprintf("random%d", n), step(event.Started, "prepare"), time.Duration(r.IntN(400))*time.Millisecond)
	}
	for _, d := range s.depending() {
		s.op.Run("restore", "resume", d.ID)
	}
	made := slices.DeleteFunc(strings.Fields(s.rbd("ls", "vms")), func(name string) bool { return !strings.HasPrefix(name, "killed-") })
	if !slices.Contains(made, "killed-copying") || !slices.Contains(made, "killed-committing") {
		t.Errorf("only these are there: %q", made)
	}
	for _, name := range made {
		image := "vms/" + name
		s.holds(image, s.raw)
		if m := s.rbd("status", "--format", "json", image); strings.Contains(m, "migration") {
			t.Errorf("%s after the end: %s", image, m)
		}
	}
	s.ended()
}

// killed kills a restore some time after it came somewhere.
func (s *instantScene) killed(name string, at func(event.Event) bool, after time.Duration) {
	s.t.Helper()
	image := "vms/killed-" + name
	run := s.instant(image)
	if _, ok := run.Await(at); !ok {
		s.t.Fatalf("%s: never got there: %+v", name, run.Wait())
	}
	time.Sleep(after) // the moment is what the seed makes it
	if _, killed := run.Kill(); !killed {
		s.t.Logf("%s had ended before", name)
	}
	for _, d := range s.depending() {
		if r := s.op.Try("status"); r.Code != 1 || !strings.Contains(r.Stderr, "NOTHING SERVES IT") || !strings.Contains(r.Stderr, d.ResumeCommand()) {
			s.t.Errorf("status after the kill of %s:\n%s", name, r.Stderr)
		}
	}
}

// randomKills is how many of the kills come at a random moment: five, or what HOLDFAST_SOAK says.
func randomKills() int {
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 5
}

// TestInstantRestoreGoesOnUnderAClient kills the restore while a client has the image open: it cannot read what is not
// there, loses nothing, and goes on after the resume without being started again.
func TestInstantRestoreGoesOnUnderAClient(t *testing.T) {
	s := newInstantScene(t, "client", 256, 50)
	want := bytes.Clone(s.raw)
	run := s.instant("vms/client")
	if _, ok := run.Await(usable); !ok {
		t.Fatalf("never usable: %+v", run.Wait())
	}
	c := s.client("vms/client")
	c.write(8<<20, 8192, 99, want)
	if _, killed := run.Kill(); !killed {
		t.Fatal("it had ended before")
	}
	d := s.depending()[0]
	for at := 0; at < len(want); at += 4 << 20 { // what is not copied cannot be read, and is never zeros
		sum := sha256.Sum256(want[at : at+4096])
		if got := c.read(at, 4096); got != hex.EncodeToString(sum[:]) && !strings.HasPrefix(got, "failed") {
			t.Errorf("read at %d while nothing is served: %s", at, got)
		}
	}
	r := s.op.Start("restore", "resume", d.ID)
	if _, ok := r.Await(step(event.Started, "copy")); !ok {
		t.Fatalf("no copy: %+v", r.Wait())
	}
	for at := 0; at < len(want); at += 32 << 20 {
		sum := sha256.Sum256(want[at : at+1<<20])
		if got := c.read(at, 1<<20); got != hex.EncodeToString(sum[:]) {
			t.Errorf("read at %d: %s", at, got)
		}
		c.write(at+12345*512, 4096, 55, want)
	}
	if r := r.Wait(); r.Code != 0 {
		t.Fatalf("resume ended with %d\n%s", r.Code, r.Stderr)
	}
	c.write(3<<20, 4096, 12, want)
	c.close()
	s.holds("vms/client", want)
	s.ended()
}

// TestInstantRestoreAborted gives restores up, with and without accepting what that loses.
func TestInstantRestoreAborted(t *testing.T) {
	s := newInstantScene(t, "aborted", 256, 40)
	run := s.instant("vms/aborted")
	if _, ok := run.Await(usable); !ok {
		t.Fatalf("never usable: %+v", run.Wait())
	}
	d := s.depending()[0]
	s.frozen(run, func() {
		s.private(d, run)
		s.op.Fails(6, []string{d.ID, "another process"}, "restore", "abort", d.ID, "--discard-writes")
		s.op.Fails(6, []string{d.ID, "another process"}, "restore", "resume")
		s.op.Fails(1, []string{"vms/aborted exists"}, "restore", "image", "latest:rbd", s.image, "--instant", "--as", "vms/aborted", "--yes")
		if r := s.op.Try("status", "--json").Stdout; !strings.Contains(r, `"served": true`) || !strings.Contains(r, d.ID) || strings.Contains(r, d.Token) {
			t.Errorf("status: %s", r)
		}
		run.Kill()
	})
	s.op.Fails(2, []string{"has been writable since", "--discard-writes"}, "restore", "abort", d.ID)
	s.op.Run("restore", "abort", d.ID, "--discard-writes")
	if list := s.rbd("ls", "vms"); strings.Contains(list, "aborted") {
		t.Errorf("still there: %s", list)
	}
	s.op.Fails(4, []string{"no instant restore"}, "restore", "resume")
	s.op.Fails(4, []string{"no instant restore"}, "restore", "abort", d.ID, "--discard-writes")
	s.ended()
}

// private checks who sees what is served: nobody without the token, which stands in no command line.
func (s *instantScene) private(d restore.Dependent, run *journey.Run) {
	s.t.Helper()
	if info, err := os.Stat(filepath.Join(s.site.State, "instant", d.ID+".json")); err != nil || info.Mode().Perm() != 0o600 {
		s.t.Errorf("state: %v, %v", info.Mode(), err)
	}
	for path, want := range map[string]int{"/" + d.Token: 206, "/": 404, "/" + d.Token[1:]: 404, "/" + strings.Repeat("0", len(d.Token)): 404} {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+d.Address+path, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		req.Header.Set("Range", "bytes=0-3")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != want || (want == 206) != (string(body) == "QFI\xfb") {
			s.t.Errorf("%s: %s, %q, %v", path, res.Status, body, err)
		}
	}
	for _, p := range journey.All() {
		if strings.Contains(strings.Join(p.Args, " "), d.Token) {
			s.t.Errorf("the token is in the command line of %v", p)
		}
	}
	for _, e := range run.Events() {
		if strings.Contains(e.Text+e.Component, d.Token) {
			s.t.Errorf("the token is told: %+v", e)
		}
	}
}

// TestInstantRestoreOfADamagedCopy ends the copy where a piece cannot be read, and goes on once it can.
func TestInstantRestoreOfADamagedCopy(t *testing.T) {
	s := newInstantScene(t, "damaged", 256, 60)
	run := s.instant("vms/damaged")
	if _, ok := run.Await(usable); !ok {
		t.Fatalf("never usable: %+v", run.Wait())
	}
	run.Kill()
	if r := s.op.Try("backup", "rbd"); !strings.Contains(r.Stderr, "NOTHING SERVES IT") {
		t.Errorf("a backup meanwhile:\n%s", r.Stderr)
	}
	mend := s.hidePacks()
	r := s.op.Fails(7, []string{"vms/damaged cannot be read", "could not be served", "BLOB not found", "holdfast restore resume"}, "restore", "resume")
	if n := strings.Count(r.Stderr, "BLOB not found"); n > 3 {
		t.Errorf("said %d times", n)
	}
	if d := s.depending(); len(d) != 1 || d[0].Stage != restore.Usable {
		t.Errorf("after damage: %+v", d)
	}
	mend()
	s.op.Run("restore", "resume")
	s.holds("vms/damaged", s.raw)
	s.ended()
}

// hidePacks takes packs of data out of the vault until mend: the later half, since the first holds what zeros look like.
func (s *instantScene) hidePacks() (mend func()) {
	s.t.Helper()
	var packs []string
	written := map[string]time.Time{}
	err := filepath.WalkDir(s.site.Vault, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(strings.TrimPrefix(filepath.Dir(path), s.site.Vault), "/p") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			packs, written[path] = append(packs, path), info.ModTime()
		}
		return err
	})
	if err != nil || len(packs) < 4 {
		s.t.Fatalf("packs: %v, %v", packs, err)
	}
	slices.SortFunc(packs, func(a, b string) int { return written[a].Compare(written[b]) })
	packs = packs[len(packs)/2:]
	rename := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			s.t.Error(err)
		}
	}
	for _, p := range packs {
		rename(p, p+".hidden")
	}
	return func() {
		for _, p := range packs {
			rename(p+".hidden", p)
		}
	}
}

// TestInstantRestoreRefused asks for what cannot be.
func TestInstantRestoreRefused(t *testing.T) {
	s := newInstantScene(t, "refused", 16, 1)
	with := func(args ...string) []string {
		return append([]string{"restore", "image", "latest:rbd", s.image, "--instant", "--yes"}, args...)
	}
	s.op.Fails(1, []string{s.image + " exists", "--as"}, with("--as", s.image)...)
	s.op.Fails(2, []string{"0.0.0.0", "--listen"}, with("--listen", "0.0.0.0")...)
	s.op.Fails(2, []string{"IPv6"}, with("--listen", "[::1]:0")...)
	s.op.Fails(2, []string{"--instant"}, "restore", "image", "latest:rbd", s.image, "--listen", "127.0.0.1")
	s.op.Fails(2, []string{"in-place"}, with("--in-place")...)
	s.op.Fails(1, []string{"192.0.2.1", "--listen"}, with("--listen", "192.0.2.1")...)
	old := t.TempDir() // an rbd that says it is older, and is the real one otherwise
	script := "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'ceph version 15.2.17 (0) octopus (stable)'; exit; }\nPATH=" + os.Getenv("PATH") + " exec rbd \"$@\"\n"
	if err := os.WriteFile(filepath.Join(old, "rbd"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s.op.Env = []string{"PATH=" + old + ":" + os.Getenv("PATH")}
	s.op.Fails(1, []string{"release 15"}, with("--as", "vms/refused")...)
	s.op.Env = nil
	if all := s.depending(); len(all) > 0 {
		t.Errorf("left: %+v", all)
	}
	if list := s.rbd("ls", "vms"); strings.Contains(list, "refused") {
		t.Errorf("made: %s", list)
	}
	// The configuration says where, unless the command does.
	config := strings.Replace(read(t, s.site.Config), "  - conf: ", "  - listen: 192.0.2.1\n    conf: ", 1)
	if err := os.WriteFile(s.site.Config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.op.Fails(1, []string{"192.0.2.1"}, with("--as", "vms/refused")...)
	s.op.Run(with("--as", "vms/refused", "--listen", "localhost")...)
	s.holds("vms/refused", s.raw)
	s.ended()
}

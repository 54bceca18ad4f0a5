package fault

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/lab"
	"holdfast/test/journey"
)

// watcher looks for secrets where they must never be, all the time.
type watcher struct {
	secrets map[string]string // by name
	known   map[string]bool   // what lay in the temporary directories before
	spare   []string          // directories where secrets may be

	mu    sync.Mutex
	found map[string]bool
	scans int
}

// temporary are the directories that everybody may write to.
var temporary = []string{"/tmp", "/dev/shm", "/run"}

// secretsOf are the values that nobody may see: the passphrase, root's and every service's passwords, and keys.
func secretsOf(t *testing.T, s *scene) map[string]string {
	t.Helper()
	secrets := map[string]string{"root's password": s.lab.RootPassword().Reveal()}
	pass, err := os.ReadFile(s.site.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	secrets["the passphrase"] = strings.TrimSpace(string(pass))
	for name, value := range s.lab.Kolla.Passwords {
		public := strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "_uuid")
		if len(value) > 8 && !public {
			secrets[name] = value
		}
	}
	if len(secrets) < 40 {
		t.Fatalf("only %d secrets", len(secrets))
	}
	return secrets
}

func newWatcher(t *testing.T, secrets map[string]string, spare ...string) *watcher {
	t.Helper()
	w := &watcher{secrets: secrets, known: map[string]bool{}, spare: spare, found: map[string]bool{}}
	for _, dir := range temporary {
		for _, name := range entries(dir) {
			w.known[name] = true
		}
	}
	return w
}

func entries(dir string) []string {
	list, _ := os.ReadDir(dir) // it may be gone
	var names []string
	for _, e := range list {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	return names
}

// look searches text for every secret.
func (w *watcher) look(where string, text []byte) {
	for name, value := range w.secrets {
		if bytes.Contains(text, []byte(value)) {
			w.mu.Lock()
			w.found[name+" in "+where] = true
			w.mu.Unlock()
		}
	}
}

// scan looks at every process of this machine, of all namespaces.
func (w *watcher) scan() {
	dirs, _ := filepath.Glob("/proc/[1-9]*") // the pattern is a constant
	for _, dir := range dirs {
		for _, name := range []string{"/cmdline", "/environ"} {
			if text, err := os.ReadFile(dir + name); err == nil {
				w.look(dir+name+" "+command(dir), text)
			}
		}
	}
	w.mu.Lock()
	w.scans++
	w.mu.Unlock()
}

// files looks at what is new in the temporary directories. What the go command builds there is not holdfast's.
func (w *watcher) files() {
	for _, dir := range temporary {
		for _, name := range entries(dir) {
			if !w.known[name] && !strings.HasPrefix(filepath.Base(name), "go-") {
				w.tree(name)
			}
		}
	}
}

func command(dir string) string {
	comm, _ := os.ReadFile(dir + "/comm") // it may have ended
	return strings.TrimSpace(string(comm))
}

// tree looks at the files below name, except for labs, which keep their own secrets.
func (w *watcher) tree(name string) {
	_ = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is gone already
		}
		if _, err := os.Stat(filepath.Join(path, "lab.json")); err == nil || slices.Contains(w.spare, path) {
			return fs.SkipDir
		}
		if info, err := d.Info(); err != nil || !info.Mode().IsRegular() || info.Size() > 64<<20 {
			return nil
		}
		if text, err := os.ReadFile(path); err == nil {
			w.look(path, text)
		}
		return nil
	})
}

// during looks without a pause while do runs, at processes and at files side by side.
func (w *watcher) during(do func()) {
	stop := make(chan struct{})
	var looking sync.WaitGroup
	for _, look := range []func(){w.scan, w.files} {
		looking.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					look()
				}
			}
		})
	}
	do()
	close(stop)
	looking.Wait()
}

// leaks are what was found, and how often was looked.
func (w *watcher) leaks() ([]string, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for what := range w.found {
		all = append(all, what)
	}
	slices.Sort(all)
	return all, w.scans
}

// TestSecretsStaySecret looks at every process, at everything that holdfast says and at what it writes while it backs
// up, verifies and restores.
func TestSecretsStaySecret(t *testing.T) {
	s := shared(t)
	s = at(t, s.lab, journey.NewSite(t, s.lab, nil))
	w := newWatcher(t, secretsOf(t, s), s.lab.Options.Dir)
	said := func(args ...string) {
		t.Helper()
		r := s.Try(args...)
		w.look("the output of "+strings.Join(args, " "), []byte(r.Stdout+r.Stderr))
		if r.Code != 0 {
			t.Errorf("%v ended with %d: %s", args, r.Code, r.Stderr)
		}
	}
	w.during(func() {
		said("init", "--yes")
		said("doctor", "--json")
		said("backup", "--json")
		said("backup", "mariadb")
		said("show", "latest", "--json")
		said("verify")
		said("restore", "table", "latest:mariadb", "keystone.project", "--yes", "--json")
		said("restore", "mariadb", "latest:mariadb", "--to", t.TempDir()+"/datadir", "--yes", "--json")
		said("restore", "mariadb", "latest:mariadb", "--cluster", "--yes", "--json")
		said("config", "check")
		said("status")
	})
	w.spare = append(w.spare, filepath.Join(s.site.State, "kit"))
	w.tree(s.site.State)
	w.tree(s.site.Vault)
	dropRestored(t, s.lab)
	found, scans := w.leaks()
	for _, what := range found {
		t.Error(what)
	}
	if scans < 20 {
		t.Errorf("only %d scans", scans)
	}
	t.Logf("%d scans for %d secrets", scans, len(w.secrets))
	s.inStep()
}

// dropRestored removes the schemas that restored tables came to.
func dropRestored(t *testing.T, l *lab.Lab) {
	t.Helper()
	if _, err := l.SQL(t.Context(), "ctl1", "DROP DATABASE IF EXISTS keystone_restored"); err != nil {
		t.Error(err)
	}
}

// TestWatcherFindsLeaks leaks a secret in every way that the watcher is there for.
func TestWatcherFindsLeaks(t *testing.T) {
	const secret = "a-secret-that-only-this-test-knows"
	w := newWatcher(t, map[string]string{"it": secret})
	l := shared(t).lab
	argv, err := l.Command(t.Context(), "ctl1", "sh", "-c", "cat; true", secret) // in a process namespace of its own
	if err != nil {
		t.Fatal(err)
	}
	environ := exec.CommandContext(t.Context(), "cat")
	environ.Env = append(os.Environ(), "PASSWORD="+secret)
	for _, cmd := range []*exec.Cmd{argv, environ} {
		input, err := cmd.StdinPipe() // its end ends them
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(input.Close(), cmd.Wait()); err != nil {
				t.Error(err)
			}
		}()
	}
	file, err := os.CreateTemp("", "leak-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file.Name())
	write(t, file.Name(), "password="+secret+"\n")
	want := []string{"/cmdline", "/environ", file.Name()}
	deadline := time.Now().Add(10 * time.Second)
	for {
		w.scan()
		w.files()
		found, _ := w.leaks()
		text := strings.Join(found, "\n")
		if !slices.ContainsFunc(want, func(s string) bool { return !strings.Contains(text, s) }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("found only %q", found)
		}
	}
}

package fault

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// TestUnreadableConfig tells every error of a configuration at once, with its place.
func TestUnreadableConfig(t *testing.T) {
	s := shared(t)
	bad := at(t, s.lab, journey.NewSite(t, s.lab, func(config string) string {
		return strings.NewReplacer("cloud: lab", "cluod: lab", "run: host", "run: somewhere", "url: file://", "url: nowhere://").Replace(config)
	}))
	lines := []string{":2:1: ", ":6:", "cluod", "somewhere", "nowhere"}
	for _, line := range [][]string{{"config", "check"}, {"backup"}, {"points"}} {
		r := bad.Try(line...)
		said(t, r, 2, append(lines, bad.site.Config)...)
	}
	if _, err := os.Stat(bad.site.State); err == nil {
		t.Error("a command with an unreadable configuration wrote state")
	}
	write(t, bad.site.Config, "cloud: [lab\n\t: }")
	said(t, bad.Try("backup"), 2, bad.site.Config+":")
	bad.Config += ".absent"
	said(t, bad.Try("backup"), 2, bad.Config)
}

// inventory gives a site a copy of the lab's inventory, with other words in the variables of one host.
func inventory(t *testing.T, l *lab.Lab, site journey.Site, host string, words ...string) {
	t.Helper()
	dir := filepath.Join(site.Dir, "inventory")
	if err := os.CopyFS(dir, os.DirFS(filepath.Dir(l.Kolla.Inventory))); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(site.Config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, site.Config, strings.ReplaceAll(string(config), l.Kolla.Inventory, filepath.Join(dir, filepath.Base(l.Kolla.Inventory))))
	file := filepath.Join(dir, "host_vars", host+".yml")
	if strings.HasPrefix(host, "ctl") {
		file = filepath.Join(dir, filepath.Base(l.Kolla.Inventory))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed, replace := false, strings.NewReplacer(words...)
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		if file != filepath.Join(dir, filepath.Base(l.Kolla.Inventory)) || strings.HasPrefix(line, host+" ") {
			lines[i] = replace.Replace(line)
			changed = changed || lines[i] != line
		}
	}
	if !changed {
		t.Fatalf("%s has none of %q", file, words)
	}
	write(t, file, strings.Join(lines, ""))
}

// TestHostOutOfReach backs the configuration up while one host cannot be reached, in the ways that hosts cannot be.
func TestHostOutOfReach(t *testing.T) {
	s := shared(t)
	key := filepath.Join(t.TempDir(), "other")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("make a key: %v: %s", err, out)
	}
	unknown := filepath.Join(t.TempDir(), "known_hosts")
	write(t, unknown, "")
	net1, err := s.lab.Host("net1")
	if err != nil {
		t.Fatal(err)
	}
	port := strings.TrimPrefix(net1.Addr(), "127.0.0.1:")
	for _, c := range []struct {
		name, host string
		words      []string
		code       int
		state      point.State
		says       []string
	}{
		{"a required host is down", "net1", []string{`"` + port + `"`, `"1"`}, 3, point.Partial, []string{"ssh port of net1", "check that sshd runs"}},
		{"the host key is unknown", "net1", []string{s.lab.KnownHosts, unknown}, 3, point.Partial, []string{"host key of net1 is unknown", "ssh-keyscan"}},
		{"the key is refused", "sto1", []string{s.lab.KeyFile, key}, 3, point.Partial, []string{"sto1 refused the key or user", "authorized_keys"}},
		{"a tolerated host is down", "cmp2", []string{s.lab.KnownHosts, unknown}, 0, point.Complete, []string{"host key of cmp2 is unknown", "ssh-keyscan"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := aside(t)
			before := s.Points()
			inventory(t, s.lab, s.site, c.host, c.words...)
			r := s.Try("backup", "kolla")
			id := s.onlyNew(before)
			if c.code != 0 {
				said(t, r, c.code, id, "partial", c.host)
			} else if r.Code != 0 || !strings.Contains(r.Stdout, c.host) {
				t.Errorf("exit code %d, and %s must be listed:\n%s%s", r.Code, c.host, r.Stdout, r.Stderr)
			}
			p := s.Show(id)
			skipped, ok := p.Component("kolla", c.host)
			if !ok || p.State != c.state || skipped.State != point.Skipped || skipped.Required != (c.code != 0) {
				t.Errorf("the point is %s, %s is %+v", p.State, c.host, skipped)
			}
			for _, w := range c.says {
				if !strings.Contains(skipped.Reason, w) {
					t.Errorf("the reason does not say %q: %s", w, skipped.Reason)
				}
			}
			if c.code == 0 && !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "1 of 2 hosts") }) {
				t.Errorf("the notes do not tell what is missing: %q", p.Notes)
			}
			s.kept(before)
		})
	}
}

// TestNodeOutOfReach takes the copies from the other nodes while one cannot be reached, and says so.
func TestNodeOutOfReach(t *testing.T) {
	s := aside(t)
	before := s.Points()
	inventory(t, s.lab, s.site, "ctl2", s.lab.KnownHosts, os.DevNull)
	p := s.Backup("mariadb")
	for _, c := range p.Components {
		if c.Host == "ctl2" {
			t.Errorf("%s is told to come from the host that cannot be reached", c.Name)
		}
	}
	if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "ctl2") && strings.Contains(n, "host key") }) {
		t.Errorf("the notes do not say why not from ctl2: %q", p.Notes)
	}
	s.kept(before)
}

// TestContainerAbsent runs with a configuration for containers on hosts that have none.
func TestContainerAbsent(t *testing.T) {
	s := aside(t)
	before := s.Points()
	config, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.Config, strings.Replace(string(config), "run: host", "run: container", 1))
	r := s.Try("backup", "mariadb")
	id := s.onlyNew(before)
	said(t, r, 1, id, "failed", "mariadb shard0/physical")
	p := s.Show(id)
	c, ok := p.Component("mariadb", "shard0/physical")
	if !ok || c.State != point.Skipped || !strings.Contains(c.Reason, "ctl1") || !strings.Contains(c.Reason, "container") && !strings.Contains(c.Reason, "docker") {
		t.Errorf("the component is %+v", c)
	}
	t.Logf("it says: %s", c.Reason)
	write(t, s.Config, string(config))
	s.kept(before)
}

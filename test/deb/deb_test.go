package deb

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// build makes a package of this tree with some environment beside the test's own.
func build(dir string, env ...string) (string, error) {
	cmd := exec.Command("../../scripts/deb.sh", "v1.2.0-3-gabcdef0", dir)
	cmd.Env = append(os.Environ(), append(env, "DEB_COMPRESSION=gzip")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		os.Stderr.Write(stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), err
}

var first = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "holdfast-deb-")
	if err != nil {
		return "", err
	}
	return build(dir)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if deb, err := first(); err == nil {
		os.RemoveAll(filepath.Dir(deb))
	}
	os.Exit(code)
}

func pkg(t *testing.T) string {
	t.Helper()
	deb, err := first()
	if err != nil {
		t.Fatalf("build the package: %v", err)
	}
	return deb
}

// newer is the same package with a later version.
func newer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	deb := filepath.Join(dir, "new.deb")
	host(t, "dpkg-deb", "-R", pkg(t), dir+"/tree")
	host(t, "sed", "-i", "s/^Version: .*/Version: 1.3.0/", dir+"/tree/DEBIAN/control")
	host(t, "dpkg-deb", "--root-owner-group", "-Znone", "-b", dir+"/tree", deb)
	return deb
}

func host(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestSameSourceSameBytes(t *testing.T) {
	again, err := build(t.TempDir(), "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "TMPDIR="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(again) != filepath.Base(pkg(t)) {
		t.Errorf("%s and %s", again, pkg(t))
	}
	host(t, "cmp", pkg(t), again)
}

func TestLintian(t *testing.T) {
	if said := host(t, "lintian", "--allow-root", "--fail-on", "error,warning", pkg(t)); strings.TrimSpace(said) != "" {
		t.Errorf("lintian says\n%s", said)
	}
}

// TestFreshInstallation demands that a package that nobody has configured is complete and does nothing.
func TestFreshInstallation(t *testing.T) {
	r := newRoot(t)
	r.run(t, "mkdir -p /run/systemd/system")
	if said := r.install(t, pkg(t)); !strings.Contains(said, "run: holdfast init") {
		t.Errorf("it does not say what to do next:\n%s", said)
	}
	if diff := cmp.Diff("daemon-reload", r.asked(t)); diff != "" {
		t.Errorf("asked of systemd (-want +got):\n%s", diff)
	}
	for script, want := range map[string]string{
		"stat -c '%a %U:%G' /etc/holdfast /var/lib/holdfast":                                                     "750 root:root\n700 root:root",
		"holdfast version | cut -d' ' -f1,2":                                                                     "holdfast v1.2.0-3-gabcdef0",
		"dpkg-query -W -f '${Version} ${Status}' holdfast":                                                       "1.2.0+3.gabcdef0 install ok installed",
		"dpkg --verify holdfast":                                                                                 "",
		"ls /etc/holdfast":                                                                                       "holdfast.yml.example",
		"holdfast -c /etc/holdfast/holdfast.yml.example config check":                                            "/etc/holdfast/holdfast.yml.example: ok",
		"zcat /usr/share/man/man8/holdfast-backup.8.gz | grep -c 'EXIT STATUS'":                                  "1",
		"zcat /usr/share/doc/holdfast/NOTICES.gz | grep -c '^======== github.com/kopia/kopia '":                  "1",
		"bash -c '. /usr/share/bash-completion/completions/holdfast && complete -p holdfast' | grep -c holdfast": "1",
		"ls /usr/lib/systemd/system/holdfast.service /usr/share/doc/holdfast/docs/ops/install.md | wc -l":        "2",
	} {
		if got := r.run(t, script); got != want {
			t.Errorf("%s\n got %q\nwant %q", script, got, want)
		}
	}
}

// configure makes a configuration with two vaults, one of them in the worst of places.
const configure = `cat >/etc/holdfast/holdfast.yml <<END
cloud: prod
tiers:
  - {name: local, url: "file:///var/lib/holdfast/vault", passphrase: {file: passphrase}}
  - {name: second, url: "file:///var/backups/holdfast", passphrase: {file: passphrase}, keep: 30d}
END
holdfast init --yes
echo '# edited' >>/etc/holdfast/holdfast.yml.example
find /var/lib/holdfast/vault /var/backups/holdfast -type f | sort | xargs sha256sum >/tmp/vaults`

// vaultsAreWhole demands every file of both vaults as it was.
func (r *root) vaultsAreWhole(t *testing.T) {
	t.Helper()
	r.run(t, "sha256sum --quiet -c /tmp/vaults && [ $(wc -l </tmp/vaults) -gt 8 ]")
}

func TestUpgradeKeepsTheConfiguration(t *testing.T) {
	r := newRoot(t)
	r.install(t, pkg(t))
	r.run(t, configure+"; mkdir -p /run/systemd/system")
	for _, c := range []struct{ name, before, want string }{
		{"nothing runs", "true", "daemon-reload\n--quiet is-active holdfast.service"},
		{"the daemon runs", "touch /run/active", "daemon-reload\n--quiet is-active holdfast.service\ntry-restart holdfast.service"},
		{"its configuration is broken", "echo oops >>/etc/holdfast/holdfast.yml", "daemon-reload\n--quiet is-active holdfast.service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.run(t, c.before)
			sums := r.run(t, "sha256sum /etc/holdfast/*; find /var/lib/holdfast | sort")
			r.asked(t)
			said := r.install(t, newer(t))
			if diff := cmp.Diff(c.want, r.asked(t)); diff != "" {
				t.Errorf("asked of systemd (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(sums, r.run(t, "sha256sum /etc/holdfast/*; find /var/lib/holdfast | sort")); diff != "" {
				t.Errorf("configuration and state changed (-before +after):\n%s", diff)
			}
			if broken := strings.Contains(said, "config check"); broken != strings.Contains(c.name, "broken") {
				t.Errorf("it says\n%s", said)
			}
			r.install(t, pkg(t)) // a downgrade, for the next case
		})
	}
	r.vaultsAreWhole(t)
}

func TestRemovalKeepsAllButTheProgram(t *testing.T) {
	r := newRoot(t)
	r.install(t, pkg(t))
	r.run(t, configure+"; mkdir -p /run/systemd/system; rm -f /run/asked")
	before := r.run(t, "find /etc/holdfast /var/lib/holdfast | sort")
	r.run(t, dpkg+"-r holdfast")
	if diff := cmp.Diff(before, r.run(t, "find /etc/holdfast /var/lib/holdfast | sort")); diff != "" {
		t.Errorf("configuration and state (-before +after):\n%s", diff)
	}
	asked := strings.Split(r.asked(t), "\n")
	if len(asked) != 3 || !strings.HasPrefix(asked[0], "stop holdfast.service") || !strings.Contains(asked[1], "disable holdfast.service") || asked[2] != "daemon-reload" {
		t.Errorf("asked of systemd: %q", asked)
	}
	if out, code := r.try(t, "command -v holdfast"); code == 0 {
		t.Errorf("the program stays: %s", out)
	}
	r.vaultsAreWhole(t)
	r.install(t, pkg(t))
	r.run(t, "holdfast config check && holdfast points")
}

// TestPurgeNeverRemovesAVault also takes the format blob from a vault, which its kit can bring back.
func TestPurgeNeverRemovesAVault(t *testing.T) {
	for name, c := range map[string]struct{ before, etc, state string }{
		"with a kit": {"true", "", "kit vault"},
		"without":    {"rm -r /var/lib/holdfast/kit", "passphrase", "vault"},
		"damaged":    {"rm /var/lib/holdfast/vault/kopia.repository.f; sed -i '/vault.kopia.repository.f/d' /tmp/vaults", "", "kit vault"},
		"no vault":   {"rm -r /var/lib/holdfast/vault; sed -i '/lib.holdfast/d;p' /tmp/vaults", "", "kit"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoot(t)
			r.install(t, pkg(t))
			r.run(t, configure)
			r.run(t, c.before+"; mkdir -p '/var/lib/holdfast/runs/a b' && touch '/var/lib/holdfast/runs/a b/c'")
			said := r.run(t, dpkg+"-P holdfast")
			if got := r.run(t, "ls /etc/holdfast 2>/dev/null | xargs"); got != c.etc {
				t.Errorf("left in /etc/holdfast: %q, want %q", got, c.etc)
			}
			if got := r.run(t, "ls /var/lib/holdfast | xargs"); got != c.state {
				t.Errorf("left in /var/lib/holdfast: %q, want %q", got, c.state)
			}
			if !strings.Contains(said, "/var/lib/holdfast stays") {
				t.Errorf("it does not tell what stays:\n%s", said)
			}
			r.vaultsAreWhole(t)
		})
	}
}

// TestPurgeKeepsKeys that holdfast.yml names, whatever they are called, where there is no kit to open the vaults with.
func TestPurgeKeepsKeys(t *testing.T) {
	r := newRoot(t)
	r.install(t, pkg(t))
	r.run(t, configure)
	r.run(t, "rm -r /var/lib/holdfast/kit /etc/holdfast/*passphrase*; cd /etc/holdfast; mkdir keys; touch keys/local a.key b.key; "+
		`printf 'tiers:\n  - {passphrase: {file: keys/local}}\n  - passphrase:\n      file: "/etc/holdfast/a.key"\n# file: b.key\n' >holdfast.yml`)
	r.run(t, dpkg+"-P holdfast")
	if got := r.run(t, "find /etc/holdfast -type f -printf '%P\\n' | sort | xargs"); got != "a.key keys/local" {
		t.Errorf("left: %q", got)
	}
}

// TestPurgeOfAMountedState leaves the place of the mount.
func TestPurgeOfAMountedState(t *testing.T) {
	r := newRoot(t)
	r.install(t, pkg(t))
	r.run(t, "mount -t tmpfs none /var/lib/holdfast; mkdir /var/lib/holdfast/serve; touch /var/lib/holdfast/serve/state.json")
	r.run(t, dpkg+"-P holdfast")
	if got := r.run(t, "ls -A /var/lib/holdfast"); got != "" {
		t.Errorf("left: %q", got)
	}
}

func TestPurgeOfAnUnusedPackageLeavesNothing(t *testing.T) {
	r := newRoot(t)
	r.install(t, pkg(t))
	r.run(t, dpkg+"-P holdfast")
	if out, code := r.try(t, "ls -d /etc/holdfast /var/lib/holdfast /usr/share/doc/holdfast /usr/share/man/man8/holdfast*"); code == 0 || strings.Contains(out, "\n/") {
		t.Errorf("left behind: %s", out)
	}
}

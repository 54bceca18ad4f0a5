package deb

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestRoleInstallsThePackage lets the Ansible role install and upgrade it, on a host that is the root itself.
func TestRoleInstallsThePackage(t *testing.T) {
	r := newRoot(t)
	r.run(t, "mkdir -p /tmp/packaging/systemd")
	r.copyTree(t, "../../packaging/ansible", "/tmp/packaging/ansible")
	r.copy(t, pkg(t), "/tmp/old.deb")
	r.copy(t, newer(t), "/tmp/new.deb")
	r.run(t, `cat >/tmp/vars <<'END'
holdfast_secrets: {passphrase: "a passphrase"}
holdfast_cloud: prod
holdfast_kolla: {}
holdfast_mariadb: {}
holdfast_run: none
holdfast_doctor: warn
END`)
	for _, c := range []struct{ deb, changed, version string }{
		{"old", "", "1.2.0+3.gabcdef0"}, {"old", "0", "1.2.0+3.gabcdef0"}, {"new", "2", "1.3.0"},
	} {
		said := r.run(t, `printf '[holdfast]\nhere ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n' >/tmp/inventory
cd /tmp/packaging/ansible && ANSIBLE_NOCOLOR=1 ansible-playbook -i /tmp/inventory -e @/tmp/vars -e holdfast_package=/tmp/`+c.deb+`.deb holdfast.yml`)
		found := regexp.MustCompile(`(?m)^here .*changed=(\d+) `).FindStringSubmatch(said)
		if found == nil || c.changed != "" && found[1] != c.changed {
			t.Errorf("%s: want %s changes\n%s", c.deb, c.changed, said)
		}
		if got := r.run(t, "dpkg-query -W -f '${Version}' holdfast"); got != c.version {
			t.Errorf("%s is installed, want %s", got, c.version)
		}
	}
	r.run(t, "holdfast config check && test -e /var/lib/holdfast/kit/kit.json && test -e /var/backups/holdfast/kopia.repository.f")
}

// inside is where a path of the root lies as seen from here.
func (r *root) inside(path string) string {
	return filepath.Join(r.files, path)
}

func (r *root) copy(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.inside(to), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *root) copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(r.inside(to), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

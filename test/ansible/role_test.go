// Package ansible holds the Ansible role to what its README says, against hosts of a lab.
package ansible

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/source"
	"holdfast/internal/source/mariadb"
	"holdfast/test/journey"
)

const packaging = "../../packaging/ansible"

func TestMain(m *testing.M) { labtest.Main(m) }

func TestRoleIsLinted(t *testing.T) {
	cmd := exec.Command("ansible-lint", "--offline", "--nocolor", "-p", "--profile", "production", "holdfast.yml", "roles/holdfast")
	cmd.Dir = packaging
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("ansible-lint: %v\n%s", err, out)
	}
}

// TestPrivilegesAreDoctors compares what the role grants with what doctor asks for.
func TestPrivilegesAreDoctors(t *testing.T) {
	text, err := os.ReadFile(packaging + "/roles/holdfast/defaults/main.yml")
	if err != nil {
		t.Fatal(err)
	}
	granted := regexp.MustCompile(`(?m)^holdfast_database_privileges: \[(.*)\]$`).FindSubmatch(text)
	if granted == nil {
		t.Fatal("the role has no holdfast_database_privileges")
	}
	if want := mariadb.GrantSQL("backup", true, false); want != "GRANT "+string(granted[1])+" ON *.* TO 'backup'@'%';" {
		t.Errorf("the role grants %s, doctor asks for %s", granted[1], want)
	}
}

// TestTimersAreOfAllJobs holds that the timer of every job of the default schedule is enabled, that of offsite with three tiers alone.
func TestTimersAreOfAllJobs(t *testing.T) {
	units, err := filepath.Glob("../../packaging/systemd/*.timer")
	if err != nil || len(units) == 0 {
		t.Fatal(units, err)
	}
	for tiers, without := range map[string]string{"[a, b]": "holdfast-run@offsite.timer", "[a, b, c]": ""} {
		cmd := exec.Command("ansible", "-i", "localhost,", "-c", "local", "localhost", "-o", "-m", "ansible.builtin.debug", "-a", "var=holdfast_timers",
			"-e", "@"+packaging+"/roles/holdfast/defaults/main.yml", "-e", "{holdfast_tiers: "+tiers+"}")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("ansible: %v\n%s", err, out)
		}
		for _, unit := range units {
			name := filepath.Base(unit)
			if strings.Contains(string(out), `"`+name+`"`) != (name != without) {
				t.Errorf("with tiers %s: %s is wrong in %s", tiers, name, out)
			}
		}
	}
}

// The secrets hold what YAML, SQL, option files and shells would trip over.
const (
	passphrase = `pass "phrase" of 'it'`
	password   = `it's \ "odd" #1 $x`
)

const variables = `holdfast_binary: %[2]q
holdfast_binary_path: /var/lib/holdfast-program/holdfast
holdfast_secrets: %[3]s
holdfast_cloud: lab
holdfast_tiers: [{name: local, url: "file:///var/lib/holdfast-vault", passphrase: {file: passphrase}, reserve: "0%%"}]
holdfast_kolla: {inventory: %[1]s/deploy/inventory/multinode, config: %[1]s/deploy/kolla}
holdfast_database_user: o'hara
holdfast_database_password: "{{ holdfast_secrets.db }}"
holdfast_database_enter: []
holdfast_mariadb:
  user: "{{ holdfast_database_user }}"
  password: {file: db}
  run: host
  control: {kind: command, stop: "true", start: "true", bootstrap: "true"}
holdfast_ceph: [{conf: /etc/holdfast-ceph/ceph.conf, id: rolemade}]
holdfast_ceph_admin: {ceph: {host: ctl1, command: [ceph, -c, %[4]s]}}
holdfast_rbd: {pools: [volumes, images]}
holdfast_doctor: warn
`

// play runs the playbook for the lab's host net1 and returns what it says, and how many tasks changed something.
type play struct {
	t    *testing.T
	lab  *lab.Lab
	args []string
}

func newPlay(t *testing.T, l *lab.Lab) play {
	dir := t.TempDir()
	secrets, err := json.Marshal(map[string]string{"passphrase": passphrase, "db": password})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"backup": "[holdfast]\nnet1\n",
		"vars":   fmt.Sprintf(variables, l.Options.Dir, journey.Binary(t), secrets, l.Ceph.Conf),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kolla := l.Options.Dir + "/deploy/kolla"
	return play{t, l, []string{
		"-i", l.Options.Dir + "/deploy/inventory/multinode", "-i", dir + "/backup",
		"-e", "@" + kolla + "/globals.yml", "-e", "@" + kolla + "/passwords.yml", "-e", "@" + dir + "/vars", "holdfast.yml",
	}}
}

var recap = regexp.MustCompile(`(?m)^net1 .*changed=(\d+) +unreachable=0 +failed=0 `)

func (p play) run(args ...string) (said, changed string) {
	p.t.Helper()
	cmd := exec.Command("ansible-playbook", append(args, p.args...)...)
	cmd.Dir = packaging
	cmd.Env = append(os.Environ(), "ANSIBLE_NOCOLOR=1", "ANSIBLE_HOME="+p.t.TempDir(), "ANSIBLE_PIPELINING=1")
	out, err := cmd.CombinedOutput()
	found := recap.FindSubmatch(out)
	if err != nil || found == nil {
		p.t.Fatalf("ansible-playbook: %v\n%s", err, out)
	}
	for _, secret := range []string{passphrase, password, p.lab.RootPassword().Reveal()} {
		if quoted, _ := json.Marshal(secret); strings.Contains(string(out), secret) || strings.Contains(string(out), string(quoted[1:len(quoted)-1])) {
			p.t.Errorf("the play tells a secret:\n%s", out)
		}
	}
	return string(out), string(found[1])
}

// TestRole prepares a backup host from nothing, finds nothing to change after that, and gives back what somebody took.
func TestRole(t *testing.T) {
	l := labtest.New(t, labtest.Nodes(1), labtest.EmptyCeph)
	p := newPlay(t, l)
	if said, changed := p.run("--check"); changed == "0" || strings.Contains(said, "fatal") {
		t.Errorf("a check of a new host would change %s\n%s", changed, said)
	}
	if out, err := l.Run(t.Context(), "net1", "ls", "/etc/holdfast"); err == nil {
		t.Errorf("a check has made %s", out)
	}
	if said, changed := p.run(); changed == "0" {
		t.Errorf("the first run changes nothing\n%s", said)
	}
	assertReady(t, l)
	if said, changed := p.run(); changed != "0" {
		t.Errorf("a second run changes %s\n%s", changed, said)
	}
	query := func(sql string) {
		if _, err := l.SQL(t.Context(), "ctl1", sql); err != nil {
			t.Fatal(err)
		}
	}
	query(`REVOKE PROCESS ON *.* FROM 'o''hara'@'%'; ALTER USER 'o''hara'@'%' IDENTIFIED BY 'another'`)
	if said, changed := p.run(); changed != "1" {
		t.Errorf("a lost privilege and a wrong password change %s\n%s", changed, said)
	}
	assertReady(t, l)
}

// assertReady demands modes, and that doctor is content with the database and with Ceph.
func assertReady(t *testing.T, l *lab.Lab) {
	t.Helper()
	const files = "cd /etc/holdfast && stat -c '%a %U %n' . passphrase db holdfast.yml /var/lib/holdfast /etc/holdfast-ceph/*keyring"
	const want = "750 root .\n600 root passphrase\n600 root db\n640 root holdfast.yml\n700 root /var/lib/holdfast\n" +
		"600 root /etc/holdfast-ceph/ceph.client.rolemade.keyring"
	if got, err := l.Run(t.Context(), "net1", "sh", "-c", files); err != nil || got != want {
		t.Errorf("files are\n%s, want\n%s; %v", got, want, err)
	}
	// Its place is wrong, a node of the cloud; what it says of the rest counts.
	out, err := l.Run(t.Context(), "net1", "sh", "-c", "/var/lib/holdfast-program/holdfast doctor --json 2>/dev/null || true")
	var areas []struct {
		Area   string
		Checks []source.Check
	}
	if err = json.Unmarshal([]byte(out), &areas); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	seen := map[string]int{}
	for _, area := range areas {
		for _, c := range area.Checks {
			seen[area.Area]++
			if c.Status == source.Fail && area.Area != "host" {
				t.Errorf("doctor is not content with %s %s: %s", area.Area, c.Name, c.Detail)
			}
		}
	}
	if seen["mariadb"] < 4 || seen["ceph"] < 2 || seen["vault"] == 0 {
		t.Errorf("doctor looked at %v", seen)
	}
}

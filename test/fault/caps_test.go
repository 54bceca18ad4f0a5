package fault

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/test/journey"
)

// shell runs a command line as the cluster's administrator, also at the test's end.
func (p *pool) shell(line string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), time.Minute)
	defer cancel()
	out, err := p.lab.Run(ctx, "sto1", "sh", "-c", "export CEPH_CONF="+p.lab.Ceph.Conf+"; "+line)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// as makes the operator another client of the cluster, who is known to no inventory.
func (p *pool) as(client, caps string) {
	p.t.Helper()
	dir := p.t.TempDir()
	keyring, conf := filepath.Join(dir, "keyring"), filepath.Join(dir, "ceph.conf")
	p.shell("ceph auth get-or-create client." + client + " " + caps + " -o " + keyring)
	p.t.Cleanup(func() { p.shell("ceph auth rm client." + client) })
	text := p.read(p.lab.Ceph.Conf) + "\n[client." + client + "]\nkeyring = " + keyring + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.Operator = journey.At(p.t, journey.NewSite(p.t, p.lab, func(config string) string {
		config = regexp.MustCompile(`(?m)^kolla:\n(  .*\n)+`).ReplaceAllString(config, "")
		return strings.Replace(config, "conf: "+p.lab.Ceph.Conf, "conf: "+conf+"\n    id: "+client, 1)
	}))
	p.Init()
}

// areas is what the doctor finds, by area.
func (p *pool) areas() map[string][]source.Check {
	p.t.Helper()
	r := p.Try("doctor", "--json")
	var areas []struct {
		Area   string
		Checks []source.Check
	}
	if err := json.Unmarshal([]byte(r.Stdout), &areas); err != nil {
		p.t.Fatalf("doctor: %v: %s%s", err, r.Stdout, r.Stderr)
	}
	found := map[string][]source.Check{}
	for _, a := range areas {
		found[a.Area] = a.Checks
	}
	return found
}

// mend is the command that the doctor gives for the client's capabilities, "" for none.
func (p *pool) mend() string {
	p.t.Helper()
	areas := p.areas()
	if len(areas["rbd"]) == 0 {
		p.t.Errorf("the doctor says nothing of rbd: %+v", areas)
	}
	for _, check := range areas["ceph"] {
		if _, command, ok := strings.Cut(check.Mend, "this replaces all: "); ok && check.Status == source.Fail {
			return command
		}
	}
	return ""
}

// TestClientMayTooLittle backs up as a client that may look and not snapshot, and as one that may nothing, without an inventory.
// The point says what to do, and what the doctor says is enough.
func TestClientMayTooLittle(t *testing.T) {
	p := newPool(t)
	p.image("volume-a", 4)
	p.as("poor", "mon 'allow r' mgr 'allow r' osd 'profile rbd-read-only'")
	fails := func(while string) {
		t.Helper()
		var got point.Point
		r := p.Try("backup", "rbd", "--json")
		if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil || r.Code != 1 {
			t.Fatalf("%s: exit code %d, %v: %s", while, r.Code, err, r.Stderr)
		}
		for _, c := range got.Components {
			if c.State != point.ComponentFailed || !strings.Contains(c.Reason, "client.poor may not do this; holdfast doctor prints the capabilities") {
				t.Errorf("%s: %s %s (%s)", while, c.Name, c.State, c.Reason)
			}
		}
	}
	fails("looking alone")
	for _, without := range []string{"", "ceph auth caps client.poor mgr 'allow r'"} {
		if without != "" {
			p.shell(without)
			fails("nothing")
		}
		for range 2 { // once more when the first says what the client lacks to see the rest
			if command := p.mend(); command != "" {
				p.shell(command)
			}
		}
		if command := p.mend(); command != "" {
			t.Errorf("still: %s", command)
		}
		if got := p.Backup("rbd"); got.State != point.Complete {
			t.Errorf("after the mend: %+v", got)
		}
	}
	if got := p.snapshots(); len(got) != 1 {
		t.Errorf("snapshots %q", got)
	}
}

// TestDoctorWithoutInventory: that the inventory cannot be read hides nothing of what does not need it.
func TestDoctorWithoutInventory(t *testing.T) {
	p := newPool(t)
	p.Operator = journey.At(t, journey.NewSite(t, p.lab, func(config string) string {
		return regexp.MustCompile(`inventory: \[.*\]`).ReplaceAllString(config, "inventory: [/nowhere]")
	}))
	p.Init()
	areas := p.areas()
	if c := areas["cloud"]; len(c) != 1 || c[0].Status != source.Fail {
		t.Errorf("cloud: %+v", c)
	}
	for _, name := range []string{"ceph", "rbd"} {
		if len(areas[name]) == 0 {
			t.Errorf("%s is not told of", name)
		}
		for _, c := range areas[name] {
			if c.Status == source.Fail {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

package acceptance

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/point"
	"holdfast/test/journey"
)

// The components of a shard that are drilled.
const physical, logical = "shard0/physical", "shard0/logical"

// TestDrill drills a whole point: everything is proven, told, and gone again.
func TestDrill(t *testing.T) {
	s := onStage(t)
	r := s.op.Try("drill", "mariadb", s.point.ID, "--json")
	d := drilled(t, r)
	if r.Code != 0 || d.State != point.Proven || d.Point != s.point.ID || d.Tier != "local" {
		t.Fatalf("it ended with %d: %+v\n%s", r.Code, d, r.Stderr)
	}
	for _, component := range []string{logical, physical} {
		p := part(t, d, component)
		if p.Same != p.Tables || p.Tables < len(s.sums) || p.Rows < bigRows || len(p.NotComparable) > 0 {
			t.Errorf("%s: %d of %d tables are the same, %d rows, not comparable %q", component, p.Same, p.Tables, p.Rows, p.NotComparable)
		}
		for _, user := range []string{"root", "backup", "keystone", "glance", "cinder", "nova", "neutron"} {
			if !slices.ContainsFunc(p.Logins, func(l point.DrillLogin) bool { return l.User == user && l.Proof == "password" }) {
				t.Errorf("%s: nobody logged in as %s: %+v", component, user, p.Logins)
			}
		}
		for _, step := range p.Steps {
			t.Logf("%7.1f s  %s: %s", step.Seconds, component, step.Name)
		}
	}
	t.Logf("%7.1f s  in all", d.Seconds)
	if p := part(t, d, physical); p.Pages < 1000 {
		t.Errorf("%d pages were checked", p.Pages)
	}
	s.nothingLeft(t)
	s.toldAsDrilled(t, d)
}

// toldAsDrilled demands that status and show tell of a drill.
func (s scene) toldAsDrilled(t *testing.T, d point.Drill) {
	t.Helper()
	var o struct {
		Components []struct{ Source, Component, Drilled string }
		Broken     []struct{ Promise string }
	}
	if err := json.Unmarshal([]byte(s.op.Try("status", "--json").Stdout), &o); err != nil {
		t.Fatal(err)
	}
	for _, c := range o.Components {
		if is, should := c.Drilled != "", c.Source == "mariadb"; is != should {
			t.Errorf("%s %s was drilled at %q", c.Source, c.Component, c.Drilled)
		}
	}
	for _, b := range o.Broken {
		if b.Promise == "drill" {
			t.Errorf("a promise is broken: %+v", b)
		}
	}
	if p := s.op.Show(s.point.ID); len(p.Drills) == 0 || p.Drills[len(p.Drills)-1].ID != d.ID {
		t.Errorf("show --json does not tell of drill %s: %+v", d.ID, p.Drills)
	}
	if out := s.op.Run("show", s.point.ID); !strings.Contains(out, "drill "+d.ID+" from tier local") {
		t.Errorf("show does not tell of drill %s:\n%s", d.ID, out)
	}
}

// TestDrillOfWrongDump drills a dump in which a row is another, a table is missing, and an account has another password.
func TestDrillOfWrongDump(t *testing.T) {
	s := onStage(t)
	dir := "mariadb/" + logical + "/"
	p := s.forge(t, "20200101-000000-dump", []string{logical}, edits{
		dir + "scene/small.sql": swap("(2,'two')", "(2,'too')"),
		dir + "scene/lost.sql":  emptied,
		dir + "mysql/global_priv.sql": func(b []byte) []byte {
			before, after, _ := strings.Cut(string(b), "('%','nova',")
			account, rest, _ := strings.Cut(after, "\n")
			at := strings.Index(account, "*") + 1
			other := map[bool]string{true: "1", false: "0"}[account[at] == '0']
			return []byte(before + "('%','nova'," + account[:at] + other + account[at+1:] + "\n" + rest)
		},
	})
	r := s.op.Fails(7, []string{"shard0/logical of point " + p.ID, "from tier local", "holdfast verify " + p.ID}, "drill", "mariadb", p.ID, "--json")
	d := drilled(t, r)
	found := part(t, d, logical)
	finds(t, found, "table", "scene.small", "2 rows as in the dump, but not the same")
	finds(t, found, "table", "scene.lost", "missing")
	finds(t, found, "account", "'nova'@'%'", "cannot log in")
	if d.State != point.Differs || found.Same < 500 {
		t.Errorf("the drill is %s, %d tables are the same", d.State, found.Same)
	}
	s.nothingLeft(t)
	var o struct {
		Broken []struct{ Promise, Text string }
	}
	if err := json.Unmarshal([]byte(s.op.Try("status", "--json").Stdout), &o); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(o.Broken, func(b struct{ Promise, Text string }) bool {
		return b.Promise == "drill" && strings.Contains(b.Text, p.ID)
	}) {
		t.Errorf("status does not say that a drill went wrong: %+v", o.Broken)
	}
}

// TestDrillOfAllShards drills a point of two shards, of which the second differs: both are drilled, told and recorded, and the worst of
// them is how it ends.
func TestDrillOfAllShards(t *testing.T) {
	s := onStage(t)
	const second = "shard1/logical"
	p := s.forge(t, "20200101-000000-both", []string{logical, second}, edits{"mariadb/" + second + "/scene/small.sql": swap("(2,'two')", "(2,'too')")})
	r := s.op.Fails(7, []string{second + " of point " + p.ID, "one good copy of shard 0"}, "drill", "mariadb", p.ID, "--all-shards", "--json")
	all := decoded[[]point.Drill](t, r)
	if len(all) != 2 || all[0].Shard != 0 || all[0].State != point.Proven || all[1].Shard != 1 || all[1].State != point.Differs {
		t.Fatalf("what was drilled: %+v", all)
	}
	finds(t, part(t, all[1], second), "table", "scene.small", "2 rows as in the dump, but not the same")
	if kept := s.op.Show(p.ID).Drills; len(kept) != 2 || kept[0].ID != all[0].ID || kept[1].ID != all[1].ID {
		t.Errorf("what is recorded: %+v", kept)
	}
	s.op.Fails(2, []string{"all-shards"}, "drill", "mariadb", "--all-shards", "--shard", "1")
	s.nothingLeft(t)
}

// TestDrillOfTornPage drills a datadir in which a byte of a page is another. The server may well refuse to go on with it.
func TestDrillOfTornPage(t *testing.T) {
	s := onStage(t)
	p := s.forge(t, "20200102-000000-torn", []string{physical}, edits{
		"mariadb/" + physical + "/nova/instances.ibd": func(b []byte) []byte {
			torn := slices.Clone(b)
			torn[3*16<<10+100] ^= 1
			return torn
		},
	})
	d := drilled(t, s.op.Fails(7, []string{"shard0/physical of point " + p.ID, "nova/instances.ibd"}, "drill", "mariadb", p.ID, "--json"))
	finds(t, part(t, d, physical), "page", "nova/instances.ibd", "1 of ")
	s.nothingLeft(t)
}

// TestDrillOfWrongCopy drills a datadir without one table, and then one without a table's data, with which a server cannot go on.
func TestDrillOfWrongCopy(t *testing.T) {
	s := onStage(t)
	dir := "mariadb/" + physical + "/"
	p := s.forge(t, "20200102-000000-copy", []string{physical, logical}, edits{
		dir + "keystone/role_option.frm": drop,
		dir + "keystone/role_option.ibd": drop,
	})
	d := drilled(t, s.op.Fails(7, []string{"shard0/physical of point " + p.ID}, "drill", "mariadb", p.ID, "--json"))
	if l := part(t, d, logical); l.State != point.Proven {
		t.Errorf("the dump is %s: %+v", l.State, l.Findings)
	}
	found := part(t, d, physical)
	finds(t, found, "table", "keystone.role_option", "missing")
	p = s.forge(t, "20200102-000000-isam", []string{physical}, edits{dir + "oddities/isam.MYD": emptied})
	d = drilled(t, s.op.Fails(7, []string{"oddities.isam"}, "drill", "mariadb", p.ID, "--json"))
	finds(t, part(t, d, physical), "table", "oddities.isam", "Corrupt")
	s.nothingLeft(t)
}

// TestDrillOfRefusals has nothing to drill, or cannot.
func TestDrillOfRefusals(t *testing.T) {
	s := onStage(t)
	s.op.Fails(4, []string{"no point is named"}, "drill", "mariadb", "19990101")
	s.op.Fails(4, []string{"no good copy of shard 3"}, "drill", "mariadb", s.point.ID, "--shard", "3")
	s.op.Fails(2, []string{"--longest"}, "drill", "mariadb", s.point.ID, "--longest")
	s.op.Fails(2, []string{"moon"}, "drill", "mariadb", "--from", "moon")
	t.Run("without programs", func(t *testing.T) {
		s.op = journey.At(t, s.site)
		hide(t, "mariadb-install-db", "mysql_install_db", "docker", "podman")
		s.op.Fails(1, []string{"no programs that fit server", "no mariadb-install-db", "install mariadb-server"}, "drill", "mariadb", s.point.ID)
	})
	t.Run("without namespaces", func(t *testing.T) {
		s.op = journey.At(t, s.site)
		hide(t, "unshare")
		s.op.Fails(1, []string{"no server can be run aside", "CAP_SYS_ADMIN"}, "drill", "mariadb", s.point.ID)
	})
	s.nothingLeft(t)
}

// TestDrillAfterNewPasswords drills while Kolla has other passwords than when the point was taken: that is no fault of the point.
func TestDrillAfterNewPasswords(t *testing.T) {
	s := onStage(t)
	p := s.forge(t, "20200103-000000-half", []string{logical}, nil)
	kolla := t.TempDir()
	other := s.elsewhere(t, func(config string) string {
		_, rest, _ := strings.Cut(config, "\n  config: ")
		dir, _, _ := strings.Cut(rest, "\n")
		if err := os.CopyFS(filepath.Join(kolla, "etc"), os.DirFS(strings.Trim(dir, `"' `))); err != nil {
			t.Fatal(err)
		}
		return strings.Replace(config, "\n  config: "+dir, "\n  config: "+filepath.Join(kolla, "etc"), 1)
	})
	passwords := filepath.Join(kolla, "etc", "passwords.yml")
	write(t, passwords, strings.Replace(read(t, passwords), "\nnova_database_password: ", "\nnova_database_password: x", 1))
	r := other.Fails(3, []string{"holds only one good copy"}, "drill", "mariadb", p.ID, "--json")
	d := drilled(t, r)
	if found := part(t, d, logical); d.State != point.Proven || !strings.Contains(strings.Join(found.Notes, "\n"), "'nova'@'%' does not log in with the password that it has today") {
		t.Errorf("the drill is %s: %+v", d.State, found)
	}
}

// TestDrillOfBusyCluster takes a point while somebody writes to a table. What differs for that alone is no fault of the point, and all
// else is still held to be the same.
func TestDrillOfBusyCluster(t *testing.T) {
	s := onStage(t)
	query(t, s.lab, "ctl1", "CREATE TABLE scene.busy (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
	defer query(t, s.lab, "ctl1", "DROP TABLE scene.busy")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	written := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if _, err := s.lab.SQL(t.Context(), "ctl1", "INSERT INTO scene.busy (v) VALUES (1),(2),(3)"); err != nil {
				t.Error(err)
				break
			}
		}
		written <- n
	}()
	p := s.op.Backup("mariadb")
	stop()
	if n := <-written; n < 3 {
		t.Fatalf("only %d times was anything written", n)
	}
	d := drilled(t, s.op.Try("drill", "mariadb", p.ID, "--json"))
	found := part(t, d, physical)
	if d.State != point.Proven || found.Same+len(found.NotComparable) != found.Tables || found.Same < found.Tables-20 {
		t.Errorf("the drill is %s: %d of %d tables are the same, not comparable %q, findings %+v", d.State, found.Same, found.Tables, found.NotComparable, found.Findings)
	}
	t.Logf("not comparable: %q", found.NotComparable)
	s.nothingLeft(t)
}

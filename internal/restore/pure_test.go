package restore

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/stream/sqldump"
	"holdfast/internal/stream/tree"
)

func TestFits(t *testing.T) {
	for _, test := range []struct {
		want, have string
		fits       bool
	}{
		{"10.11.6-MariaDB-0+deb12u1-log", "10.11.6", true},
		{"10.11.6-MariaDB", "mariadb-backup based on MariaDB server 10.11.14-MariaDB debian-linux-gnu", true},
		{"10.11.14-MariaDB", "10.11.6", false},
		{"10.11.6-MariaDB", "11.4.2", false},
		{"10.6.18-MariaDB", "10.11.6", false},
		{"10.11.6-MariaDB", "", false},
		{"", "10.11.6", false},
		{"10.1.6", "10.11.6", false},
		{"10.11.9", "10.11.10", true},
	} {
		if got := Fits(test.want, test.have); got != test.fits {
			t.Errorf("a copy of %q, a tool of %q: %v", test.want, test.have, got)
		}
	}
}

func TestPlanAsksForEveryRefusal(t *testing.T) {
	p := Plan{Title: "restore cluster"}
	p.refuse(AcceptWriters, "stop them", "nova is connected")
	p.needs("ctl1:/d", 100, 99)
	p.needs("ctl2:/d", 100, 100)
	for _, test := range []struct {
		accept []string
		says   string
		kind   problem.Kind
	}{
		{nil, "nova is connected", problem.Failed},
		{[]string{AcceptSpace}, "nova is connected", problem.Failed},
		{[]string{AcceptWriters}, "ctl1:/d has 99 B free and 100 B are needed", problem.Failed},
		{[]string{"all"}, `does not know "all"`, problem.Usage},
	} {
		err := p.Check(test.accept)
		if err == nil || !strings.Contains(err.Error(), test.says) || problem.KindOf(err) != test.kind || problem.HintOf(err) == "" {
			t.Errorf("accepting %q: %v", test.accept, err)
		}
	}
	if err := p.Check([]string{AcceptSpace, AcceptWriters}); err != nil {
		t.Errorf("all accepted: %v", err)
	}
	p.refuse("", "", "it is a mount point")
	if err := p.Check(Acceptable); err == nil {
		t.Error("what has no name was accepted")
	}
}

func TestParsePlace(t *testing.T) {
	got, err := parsePlace("ctl1", "image=sha256:abc\nbackup=mariabackup based on MariaDB server 10.11.6-MariaDB Linux\ndatadir=/var/lib/mysql/\nexists=1\n"+
		"uid=42434\ngid=42435\nmode=755\nfree=2048\nlabel=u:r:t:s0\nkept=/o\naside=/o-2\nolduse=3\noldfree=4\nuuid=1-2\n")
	want := place{
		datadir: "/var/lib/mysql", exists: true, uid: 42434, gid: 42435, mode: "755", label: "u:r:t:s0", uuid: "1-2", free: 2 << 20,
		image: "sha256:abc", backup: "10.11.6", aside: "/o-2", kept: "/o", oldUse: 3 << 10, oldFree: 4 << 10,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(place{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, out := range []string{"", "datadir=\n", "datadir=/var/lib/mysql\n"} {
		if _, err := parsePlace("ctl1", out); err == nil || !strings.Contains(problem.HintOf(err), "deploy") {
			t.Errorf("%q: %v", out, err)
		}
	}
}

func TestRowsThatDiffer(t *testing.T) {
	table := &Table{into: "nova_restored", o: TableOptions{Database: "nova", Table: "instances"}, table: sqldump.Table{Rows: 3, Hash: sqldump.Hash{Hi: 1, Lo: 2}}}
	if err := table.same(sqldump.Table{Rows: 3, Hash: sqldump.Hash{Hi: 1, Lo: 2}}); err != nil {
		t.Errorf("equal rows: %v", err)
	}
	for says, got := range map[string]sqldump.Table{
		"2 rows arrived, the copy holds 3":                                   {Rows: 2, Hash: sqldump.Hash{Hi: 1, Lo: 2}},
		"all 3 rows arrived, but with hash 00000000000000010000000000000003": {Rows: 3, Hash: sqldump.Hash{Hi: 1, Lo: 3}},
	} {
		err := table.same(got)
		if problem.KindOf(err) != problem.Damage || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "nova_restored.instances") {
			t.Errorf("%v", err)
		}
	}
}

func TestUndoNamesWhatHoldsTheOldData(t *testing.T) {
	p := place{datadir: "/d", aside: "/d.old-2", kept: "/d.old"}
	if got, want := p.undo(), "test -d /d.old-2 && rm -rf /d && mv -T /d.old-2 /d"; got != want {
		t.Errorf("undo is %q, want %q", got, want)
	}
	p.empty = true // an earlier restore was cut off after it had moved the datadir
	if got, want := p.undo(), "test -d /d.old && rm -rf /d && mv -T /d.old /d"; got != want {
		t.Errorf("undo is %q, want %q", got, want)
	}
	if got, want := shellQuote("/it's here"), `'/it'\''s here'`; got != want {
		t.Errorf("quoted is %s, want %s", got, want)
	}
}

// TestPlainStatements holds that exactly the unwanted lines are gone, whatever else a dump holds.
func TestPlainStatements(t *testing.T) {
	lines := []string{
		"LOCK TABLES `t` WRITE;", "UNLOCK TABLES;", "set autocommit=0;", "commit;", "/*M!999999\\- enable the sandbox mode */",
		"INSERT INTO `t` VALUES (1,'commit;\\nUNLOCK TABLES;');", "", "-- LOCK TABLES", " commit;", "(2,'" + strings.Repeat("x", 3<<20) + "'),",
	}
	const dropped = 5
	rapid.Check(t, func(t *rapid.T) {
		var in, want strings.Builder
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(lines)-1), 0, 12).Draw(t, "lines") {
			in.WriteString(lines[i] + "\n")
			if i >= dropped {
				want.WriteString(lines[i] + "\n")
			}
		}
		if rapid.Bool().Draw(t, "unended") {
			in.WriteString("SELECT 1")
			want.WriteString("SELECT 1")
		}
		var out bytes.Buffer
		var counted int64
		if err := plainStatements(&out, strings.NewReader(in.String()), func(n int64) { counted += n }); err != nil {
			t.Fatal(err)
		}
		if out.String() != want.String() || counted != int64(in.Len()) {
			t.Fatalf("%d bytes came out, want %d; %d were counted of %d", out.Len(), want.Len(), counted, in.Len())
		}
	})
}

func TestTriggersAreSeenAndLeftOut(t *testing.T) {
	const rows = "INSERT INTO `t` VALUES (1,'/*!50003 SET collation_connection ');\nUNLOCK TABLES;\n"
	const triggers = "/*!50003 SET @saved_cs_client      = @@character_set_client */ ;\n/*!50003 CREATE*/ /*!50003 TRIGGER x.t BEFORE INSERT ON x.y FOR EACH ROW SET @a=1 */;;\n" +
		"/*!50003 SET collation_connection  = @saved_col_connection */ ;\n"
	fsys := fstest.MapFS{"with.sql": {Data: []byte(rows + triggers)}, "without.sql": {Data: []byte(rows)}}
	for name, want := range map[string]bool{"with.sql": true, "without.sql": false} {
		if got, err := hasTriggers(fsys, name); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		var out bytes.Buffer
		if err := plainStatements(&out, bytes.NewReader(fsys[name].Data), func(int64) {}); err != nil || strings.Contains(out.String(), "TRIGGER") || !strings.HasPrefix(rows, out.String()) {
			t.Errorf("%s: %v: %s", name, err, out.String())
		}
	}
}

func TestNamesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := rapid.StringOfN(rapid.RuneFrom([]rune("aZ_ü表")), 1, 64, -1).Draw(t, "table")
		seen := map[string]bool{table: true}
		for n := 1; n < 12; n++ {
			name := keptName(table, "20261122-110606-f1dd", n)
			if len([]rune(name)) > maxName || seen[name] {
				t.Fatalf("%q has %d characters, or was there before", name, len([]rune(name)))
			}
			seen[name] = true
		}
	})
	if a, b := scratchName("a", "b", "1"), scratchName("a", "c", "1"); a == b || len(scratchName("a", "b", "20261122-110606-f1dd")) > maxName {
		t.Errorf("scratch databases %s and %s", a, b)
	}
}

func TestLineage(t *testing.T) {
	l := Lineage{File: filepath.Join(t.TempDir(), "lineage.json")}
	if !l.Same("a", "a") || l.Same("a", "b") {
		t.Error("without a file only a cluster itself is of its lineage")
	}
	for _, pair := range [][2]string{{"b", "a"}, {"c", "a"}, {"d", "c"}, {"x", "y"}, {"", "a"}, {"a", "a"}} {
		if err := l.Add(pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		a, b string
		same bool
	}{{"b", "a", true}, {"d", "b", true}, {"a", "d", true}, {"x", "a", false}, {"z", "a", false}} {
		if got := l.Same(test.a, test.b); got != test.same {
			t.Errorf("%s and %s: %v", test.a, test.b, got)
		}
	}
	if err := l.Add("a", "d"); err != nil || !l.Same("a", "c") {
		t.Errorf("a circle: %v", err)
	}
}

func TestNarrow(t *testing.T) {
	extra := tree.Meta{Entries: []tree.Entry{{Path: "etc/two", LinkTo: "etc/one"}, {Path: "etc/acl"}, {Path: "var/x", LinkTo: "var/y"}}}
	only, got := narrow([]string{"etc/two"}, extra)
	if diff := cmp.Diff([]string{"etc/two", "etc/one"}, only); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if len(got.Entries) != 1 || got.Entries[0].Path != "etc/two" || len(extra.Entries) != 3 {
		t.Errorf("entries %+v of %+v", got.Entries, extra.Entries)
	}
	for name, want := range map[string]bool{"etc": true, "etc/two": true, "etc/two/x": true, "etc/twofold": false, "etcetera": false, "var": false} {
		if wanted(name, []string{"etc/two"}) != want || !wanted(name, nil) {
			t.Errorf("%s is wanted: %v", name, !want)
		}
	}
}

func TestComponentOf(t *testing.T) {
	p := point.Point{ID: "p", Components: []point.Component{
		{Source: "kolla", Name: "ctl1", State: point.Good}, {Source: "kolla", Name: "ctl10", State: point.ComponentPartial},
		{Source: "kolla", Name: "ctl2", State: point.ComponentFailed, Reason: "cut"}, {Source: "mariadb", Name: "shard0/logical", State: point.Good},
	}}
	for _, test := range []struct{ path, name, rest string }{
		{"ctl1:/etc/kolla", "ctl1", "etc/kolla"}, {"ctl1/etc/kolla/", "ctl1", "etc/kolla"}, {"ctl10", "ctl10", ""}, {"ctl1:", "ctl1", ""},
		{"kolla/ctl10/etc", "ctl10", "etc"}, {"mariadb/shard0/logical/nova", "shard0/logical", "nova"}, {"ctl1:/etc/odd:/name", "ctl1", "etc/odd:/name"},
		{"ctl1/etc/odd:/name", "ctl1", "etc/odd:/name"}, {"ctl1:/etc//kolla/./x", "ctl1", "etc/kolla/x"}, {"ctl1:/../etc", "ctl1", "etc"}, {"ctl1:/.hidden", "ctl1", ".hidden"},
	} {
		c, rest, err := componentOf(p, test.path)
		if err != nil || c.Name != test.name || rest != test.rest {
			t.Errorf("%s is %s and %q, %v", test.path, c.Name, rest, err)
		}
	}
	for path, says := range map[string]string{"ctl2:/etc": "cut", "ctl3:/etc": "no component", "": "no component"} {
		if _, _, err := componentOf(p, path); problem.KindOf(err) != problem.NotFound || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestCutFeedIsNoArchive cuts a tree's tar archive everywhere, as a failing vault would: what reads it must notice.
func TestCutFeedIsNoArchive(t *testing.T) {
	fsys := fstest.MapFS{"a/b": {Data: bytes.Repeat([]byte("b"), 700)}, "c": {Data: []byte("c")}, "empty": {}}
	var whole bytes.Buffer
	sent, err := writeTar(&whole, fsys, func(int64) {})
	if err != nil || sent != (sentFiles{3, 701}) {
		t.Fatalf("sent %+v, %v", sent, err)
	}
	for limit := range whole.Len() {
		w := &shortWriter{left: limit}
		if _, err := writeTar(w, fsys, func(int64) {}); !errors.Is(err, errShort) {
			t.Fatalf("cut at %d: %v", limit, err)
		}
	}
	broken := fstest.MapFS{"a": {Data: []byte("a")}, "b": {Mode: 0, Data: []byte("b")}}
	var out bytes.Buffer
	if _, err := writeTar(&out, failing{broken, "b"}, func(int64) {}); err == nil {
		t.Fatal("a file that cannot be read went unnoticed")
	}
	r := tar.NewReader(&out)
	for err = nil; err == nil; {
		_, err = r.Next()
	}
	if bytes.HasSuffix(out.Bytes(), make([]byte, 1024)) && err == io.EOF {
		t.Error("an archive that lacks a file has an end")
	}
}

var errShort = errors.New("no more room")

type shortWriter struct{ left int }

func (w *shortWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return w.left, errShort
	}
	w.left -= len(p)
	return len(p), nil
}

// failing is a file system that cannot open one file.
type failing struct {
	fstest.MapFS
	name string
}

func (f failing) Open(name string) (fs.File, error) {
	if name == f.name {
		return nil, errors.New("the vault is gone")
	}
	return f.MapFS.Open(name)
}

// TestFullDiskIsNoInterrupt writes where there is no room: the failure is told as what it is.
func TestFullDiskIsNoInterrupt(t *testing.T) {
	files := fstest.MapFS{}
	for i := range 50 {
		files[fmt.Sprintf("d%d/f", i)] = &fstest.MapFile{Data: []byte("x")}
	}
	err := extract(t.Context(), failing{files, "d3/f"}, ".", filepath.Join(t.TempDir(), "d"), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "the vault is gone") || problem.KindOf(err) != problem.Failed {
		t.Errorf("kind %v: %v", problem.KindOf(err), err)
	}
}

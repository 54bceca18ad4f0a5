package restore

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/source/ceph"
)

func TestLineDiff(t *testing.T) {
	lines := func(words string) []byte { return []byte(strings.ReplaceAll(words, " ", "\n") + "\n") }
	for _, c := range []struct{ was, now, want string }{
		{"a b c", "a b c", ""},
		{"a b c", "a x c", "  a|- b|+ x|  c"},
		{"a b c d e f g", "a b c d e f g h", "...|  f|  g|+ h"},
		{"1 2 3 4 5 6 7 8 9", "0 2 3 4 5 6 7 8 10", "- 1|+ 0|  2|  3|...|  7|  8|- 9|+ 10"},
		{"a b", "b a", "+ b|  a|- b"},
	} {
		got := strings.Join(lineDiff(lines(c.was), lines(c.now)), "|")
		if c.was == "a b" && got == "- a|  b|+ a" {
			continue // as short
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s -> %s (-want +got):\n%s", c.was, c.now, diff)
		}
	}
	if got := lineDiff(nil, []byte("a\n")); len(got) != 1 || got[0] != "+ a" {
		t.Errorf("from nothing: %q", got)
	}
}

// TestLineDiffOfMuch does not compare all with all.
func TestLineDiffOfMuch(t *testing.T) {
	was, now := strings.Repeat("a\n", 6000), strings.Repeat("b\n", 6000)
	if got := lineDiff([]byte(was), []byte(now)); len(got) != 12000 {
		t.Errorf("%d lines differ", len(got))
	}
}

func TestEntityDiff(t *testing.T) {
	was := ceph.ParseKeyring([]byte("[a]\nkey = 1\ncaps mon = \"allow r\"\n[b]\nkey = 1\n[c]\nkey = 1\n[d]\nkey = 1\ncaps osd = \"allow *\"\n"))
	now := ceph.ParseKeyring([]byte("[a]\nkey = 1\ncaps mon = \"allow *\"\n[b]\nkey = 2\n[c]\nkey = 1\n[e]\nkey = 1\n"))
	for name, want := range map[string]EntityDiff{
		"a": {"a", changed, "same", map[string]Values{"mon": {"allow r", "allow *"}}},
		"b": {"b", changed, "differs", map[string]Values{}},
		"c": {"c", "", "same", map[string]Values{}},
		"d": {"d", onlyPoint, "", map[string]Values{"osd": {"allow *", ""}}},
		"e": {"e", onlyCluster, "", map[string]Values{}},
	} {
		if diff := cmp.Diff(want, entityDiff(was, now, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

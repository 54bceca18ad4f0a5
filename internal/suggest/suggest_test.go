package suggest

import "testing"

func TestNearest(t *testing.T) {
	keys := []string{"cloud", "state", "tiers", "mariadb", "kolla"}
	for word, want := range map[string]string{
		"tier":    "tiers",
		"clodu":   "cloud",
		"mraiadb": "mariadb",
		"maria":   "",
		"ceph":    "",
		"":        "",
		"kölla":   "kolla",
	} {
		if got := Nearest(word, keys); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestHint(t *testing.T) {
	if got := Hint("stat", []string{"state"}, "x"); got != `did you mean "state"?` {
		t.Error(got)
	}
	if got := Hint("zzzzzz", []string{"state"}, "see --help"); got != "see --help" {
		t.Error(got)
	}
}

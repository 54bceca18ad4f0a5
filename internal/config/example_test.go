package config

import (
	"regexp"
	"testing"
)

// TestExampleHasEveryKey reads the example as an operator's file, and finds in it every key of the decoder's own source.
func TestExampleHasEveryKey(t *testing.T) {
	text := Example()
	c, err := Parse("/etc/holdfast/holdfast.yml", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(c.Tiers) != 3 || c.RBD == nil || c.MariaDB == nil {
		t.Errorf("got %+v", c)
	}
	for _, key := range decodedKeys(t) {
		if !regexp.MustCompile(`(^|[\s{])` + key + `:`).Match(text) {
			t.Errorf("the example has no %s: give it one in Example, and Render a place for it", key)
		}
	}
}

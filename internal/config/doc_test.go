package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// decodedKeys finds the keys in the decoder's own source, so that none is forgotten.
func decodedKeys(t *testing.T) []string {
	t.Helper()
	var source []byte
	for _, file := range []string{"fields.go", "ceph.go", "selector.go", "freeze.go", "keep.go", "tiers.go", "notify.go", "metrics.go", "schedule.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	var keys []string
	for _, found := range regexp.MustCompile(`(?:(?:required|optional)\(|field\{)"([a-z_]+)"`).FindAllSubmatch(source, -1) {
		keys = append(keys, string(found[1]))
	}
	if len(keys) < 30 {
		t.Fatalf("only %d keys found in the decoder", len(keys))
	}
	return keys
}

func TestEveryKeyIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/user/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	for line := range strings.Lines(string(doc)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			rows.WriteString(cells[1])
		}
	}
	for _, key := range decodedKeys(t) {
		if !strings.Contains(rows.String(), "`"+key+"`") {
			t.Errorf("docs/user/configuration.md has no row for %s", key)
		}
	}
}

// TestRetentionExampleIsRead holds the example of the retention guide to the reader.
func TestRetentionExampleIsRead(t *testing.T) {
	doc, err := os.ReadFile("../../docs/user/retention.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if c, err := Parse("/etc/holdfast/holdfast.yml", []byte("cloud: prod\n"+example)); err != nil || len(c.Tiers) != 2 || c.Tiers[1].Keep.For("rbd").Weekly != 8 {
		t.Errorf("example: %+v, %v", c, err)
	}
}

// TestDocumentedExampleIsRead holds the page's example to the reader.
func TestDocumentedExampleIsRead(t *testing.T) {
	doc, err := os.ReadFile("../../docs/user/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example in the page")
	}
	if c, err := Parse("/etc/holdfast/holdfast.yml", []byte(example)); err != nil || c.Cloud != "prod" || c.MariaDB == nil {
		t.Errorf("example: %+v, %v", c, err)
	}
}

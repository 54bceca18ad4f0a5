package cli

import (
	"context"
	"errors"
	"strings"
	"testing"

	"holdfast/internal/config"
)

// TestTyped: the daemon hears what a command line does, not how, and as a job would write it.
func TestTyped(t *testing.T) {
	for line, want := range map[string]string{
		"backup rbd --only volumes/a":                            "backup rbd --only volumes/a",
		"backup rbd --only=volumes/a --limit 1MiB --parallel 2":  "backup rbd --only volumes/a",
		"backup --no-wait --json -q -c /etc/hf.yml":              "backup",
		"replicate s3 --point p1 --point p2 --retry --from disk": "replicate s3 --from disk --point p1 --point p2",
		"drill mariadb p1 --shard 1 --from s3":                   "drill mariadb p1 --from s3 --shard 1",
		"drill mariadb --longest":                                "drill mariadb --longest",
		"drill mariadb --longest --all-shards --no-wait":         "drill mariadb --all-shards --longest",
		"verify --tier s3 --all":                                 "verify --all --tier s3",
		"verify --heal --all --full=false":                       "verify --all --heal",
		"verify latest:kolla --percent 5 --at 2026-01-31":        "verify latest:kolla --at 2026-01-31 --percent 5",
		"prune s3 --yes --confirm 3 --exclusive":                 "prune s3 --confirm 3 --exclusive",
		"prune --tier s3 -y":                                     "prune --tier s3",
	} {
		a, _, _ := testApp("")
		c, rest, err := newRoot(a).Find(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ParseFlags(rest); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(a.typed(c, c.Flags().Args()), " "); got != want {
			t.Errorf("%s: told as %q, want %q", line, got, want)
		}
	}
}

// TestStoppedIsTold: the daemon hears of what was stopped what the operator does, however it failed.
func TestStoppedIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, _, _ := testApp("")
	for _, want := range []string{"failed", "interrupted"} {
		r := a.result(ctx, &config.Config{}, []string{"backup"}, a.env.Now(), errors.New("broken pipe"))
		if r.Kind != want {
			t.Errorf("told as %s, want %s", r.Kind, want)
		}
		cancel()
	}
}

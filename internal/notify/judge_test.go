package notify

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/coverage"
	"holdfast/internal/durable"
	"holdfast/internal/job"
	"holdfast/internal/lab/smtpsink"
)

var t0 = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// pending are the titles of what a teller would tell next, by its first way.
func pending(t *testing.T, teller *Teller) (titles []string) {
	t.Helper()
	s, err := durable.Read[state](stateFile(teller.dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Boxes[teller.ways[0].name()].News {
		titles = append(titles, fmt.Sprintf("%s x%d", n.Title, n.Count))
	}
	return titles
}

// quiet is a teller that is never run, at a time that can be set.
func quiet(t *testing.T, on ...string) (*Teller, *time.Time, *config.Config) {
	t.Helper()
	now := t0
	cfg := settings(t, config.Notify{On: on, Mail: &config.Mail{Server: "127.0.0.1", Port: 1, From: "a@b", To: []string{"c@d"}}})
	return New(cfg, func() time.Time { return now }, nil), &now, cfg
}

// TestWhatIsNews plays results one after the other, over a restart, and says after each what would be told.
func TestWhatIsNews(t *testing.T) {
	teller, now, cfg := quiet(t)
	for i, c := range []struct {
		after  time.Duration
		result job.Result
		want   string
	}{
		{0, step("database", "backup mariadb", "", t0), ""},
		{time.Hour, step("database", "backup mariadb", "failed", t0.Add(time.Hour)), "failed: backup mariadb x1"},
		{time.Hour, step("database", "backup mariadb", "failed", t0.Add(time.Hour)), ""},                                        // the same once more
		{2 * time.Hour, step("database", "backup mariadb", "failed", t0.Add(2*time.Hour)), ""},                                  // still so
		{3 * time.Hour, step("database", "backup mariadb", "damage", t0.Add(3*time.Hour)), "found damage: backup mariadb x1"},   // in another way
		{3 * time.Hour, step("config", "backup kolla", "partial", t0.Add(3*time.Hour)), "only partly done: backup kolla x1"},    // another job
		{24 * time.Hour, step("database", "backup mariadb", "damage", t0.Add(24*time.Hour)), "found damage: backup mariadb x1"}, // a night later
		{25 * time.Hour, step("database", "backup mariadb", "interrupted", t0.Add(25*time.Hour)), ""},                           // who did that knows
		{25 * time.Hour, step("database", "status", "failed", t0.Add(25*time.Hour)), ""},                                        // comes as an overview
		{25 * time.Hour, step("", "backup mariadb", "failed", t0.Add(25*time.Hour)), ""},                                        // typed, and seen
		{26 * time.Hour, step("", "backup mariadb", "", t0.Add(26*time.Hour)), "works again: backup mariadb x1"},                // typed, and disproves
		{26 * time.Hour, step("database", "backup mariadb", "damage", t0.Add(24*time.Hour)), ""},                                // late news of what is over
		{27 * time.Hour, step("config", "backup kolla", "", t0.Add(27*time.Hour)), "works again: backup kolla x1"},              //
		{28 * time.Hour, step("config", "backup kolla", "", t0.Add(28*time.Hour)), ""},                                          // it worked before
		{29 * time.Hour, step("config", "replicate s3", "unreachable", t0.Add(29*time.Hour)), "failed: replicate s3 x1"},        //
		{29 * time.Hour, step("config", "replicate far", "", t0.Add(29*time.Hour)), ""},                                         // another tier
		{-90 * time.Hour, step("config", "replicate s3", "failed", t0.Add(-90*time.Hour)), "failed: replicate s3 x1"},           // the clock was set back
		{-89 * time.Hour, step("config", "replicate s3", "", t0.Add(-89*time.Hour)), "works again: replicate s3 x1"},            //
	} {
		*now = t0.Add(c.after)
		teller = New(cfg, teller.now, nil) // nothing is remembered but in the state
		teller.Result(c.result)
		if got := strings.Join(pending(t, teller), ", "); got != c.want {
			t.Errorf("%d: %v: got %q, want %q", i, c.result.Args, got, c.want)
		}
		teller.update(func(s *state) { s.Boxes["mail:c@d"].News = nil })
	}
}

// TestPendingNewsIsMerged: what was not sent yet is told once, with how often and since when.
func TestPendingNewsIsMerged(t *testing.T) {
	teller, now, _ := quiet(t)
	for day := range 4 {
		*now = t0.Add(time.Duration(day) * 24 * time.Hour)
		teller.Result(step("database", "backup mariadb", "failed", *now))
	}
	*now = now.Add(time.Hour)
	teller.Result(step("database", "backup mariadb", "", *now))
	if got := strings.Join(pending(t, teller), ", "); got != "failed: backup mariadb x4, works again: backup mariadb x1" {
		t.Errorf("got %s", got)
	}
	*now = now.Add(time.Hour)
	teller.Result(step("database", "backup mariadb", "failed", *now))
	if got := strings.Join(pending(t, teller), ", "); got != "failed: backup mariadb x5" {
		t.Errorf("it does not work again, but is told %s", got)
	}
}

// TestPromises: a promise is told when it is broken and when it is kept again, not in between; of a tier that cannot be opened
// nothing is known.
func TestPromises(t *testing.T) {
	teller, now, cfg := quiet(t)
	late := coverage.Broken{Promise: "rpo", Tier: "s3", Source: "mariadb", Text: "in tier s3 the newest good copy of mariadb is too old"}
	shut := coverage.Broken{Promise: "tier", Tier: "s3", Text: "tier s3 cannot be opened"}
	for i, c := range []struct {
		broken []coverage.Broken
		kit    string
		want   string
	}{
		{nil, "", ""},
		{[]coverage.Broken{late}, "", "broken promise: a recent copy of mariadb in tier s3 x1"},
		{[]coverage.Broken{late}, "", ""},
		{[]coverage.Broken{shut}, "", "broken promise: tier s3 can be opened x1"},
		{[]coverage.Broken{late}, "", "kept again: tier s3 can be opened x1"},
		{nil, "no kit", "broken promise: a recovery kit is kept elsewhere x1, kept again: a recent copy of mariadb in tier s3 x1"},
		{nil, "", "kept again: a recovery kit is kept elsewhere x1"},
	} {
		*now = now.Add(time.Minute)
		teller = New(cfg, teller.now, nil)
		o := cloud(*now, c.broken...)
		o.Kit = c.kit
		teller.Overview(o)
		if got := strings.Join(pending(t, teller), ", "); got != c.want {
			t.Errorf("%d: got %q, want %q", i, got, c.want)
		}
		teller.update(func(s *state) { s.Boxes["mail:c@d"].News = nil })
	}
}

// TestBlindFromTheBeginning: who has seen nothing yet ends no trouble, says nothing of copies, and tells what shuts the tiers.
func TestBlindFromTheBeginning(t *testing.T) {
	teller, now, cfg := quiet(t)
	o := cloud(*now)
	o.Kit = "no kit"
	teller.Overview(o)
	blind := coverage.Overview{Cloud: "prod", Tiers: []coverage.Tier{{Tier: "local"}}}
	blind.Darken("wrong passphrase")
	teller = New(cfg, teller.now, nil) // which has lost its overview
	teller.Overview(blind)
	if got := strings.Join(pending(t, teller), ", "); got != "broken promise: a recovery kit is kept elsewhere x1, broken promise: tier local can be opened x1" {
		t.Errorf("got %q", got)
	}
	if lines := risk(failed(step("database", "backup mariadb", "failed", *now), "", trouble{}, *now), &blind); len(lines) != 1 || lines[0] != unknown {
		t.Errorf("at risk: %q", lines)
	}
	if got := facts(&blind); len(got) != 2 || got[0] != unknown || !strings.Contains(got[1], "wrong passphrase") {
		t.Errorf("facts: %q", got)
	}
}

// TestNextCommand: what the first tier lacks is mended by a backup, what another lacks by replication.
func TestNextCommand(t *testing.T) {
	teller, _, _ := quiet(t)
	late := func(tier string) coverage.Broken {
		return coverage.Broken{Promise: "rpo", Tier: tier, Source: "mariadb"}
	}
	teller.Overview(cloud(t0, late("local"), late("s3"), coverage.Broken{Promise: "tier", Tier: "s3"}))
	s, err := teller.read()
	if err != nil {
		t.Fatal(err)
	}
	var next []string
	for _, n := range s.Boxes["mail:c@d"].News {
		next = append(next, n.Next)
	}
	if got := strings.Join(next, ", "); got != "holdfast backup mariadb, holdfast replicate s3, holdfast doctor" {
		t.Errorf("got %s", got)
	}
}

// TestOnlyWhatIsAskedFor: on: decides, and a box has an end.
func TestOnlyWhatIsAskedFor(t *testing.T) {
	teller, _, _ := quiet(t, recovery)
	teller.Result(step("database", "backup mariadb", "failed", t0))
	teller.Result(step("database", "backup mariadb", "", t0.Add(time.Hour)))
	if got := strings.Join(pending(t, teller), ", "); got != "works again: backup mariadb x1" {
		t.Errorf("got %s", got)
	}
	var b box
	for i := range 3 * mostNews {
		b.add(item{Kind: failure, Key: fmt.Sprint(i)})
	}
	if len(b.News) != mostNews || b.More != 2*mostNews {
		t.Errorf("%d news, %d more", len(b.News), b.More)
	}
}

// TestStateThatCannotBeKept, as on a full disk: what is new is told all the same, the trouble is said once and stands in the status,
// and what is known is written when that can be done again.
func TestStateThatCannotBeKept(t *testing.T) {
	server, m := sink(t, smtpsink.Options{})
	cfg := settings(t, config.Notify{Mail: m})
	write(t, Dir(cfg.State), "in the way")
	var said []string
	teller := New(cfg, time.Now, func(s string) { said = append(said, s) })
	teller.Result(step("database", "backup mariadb", "failed", time.Now()))
	teller.Overview(cloud(t0))
	if err := teller.Flush(t.Context()); err == nil || len(server.Mails()) != 1 {
		t.Errorf("%v, %d mails", err, len(server.Mails()))
	}
	all := teller.Status()
	if len(said) != 1 || len(all) != 2 || all[0].Delivered != 1 || all[1].Way != "state" || all[1].Error == "" {
		t.Errorf("said %q, status %+v", said, all)
	}
	if err := os.Remove(Dir(cfg.State)); err != nil {
		t.Fatal(err)
	}
	teller.Result(step("database", "backup mariadb", "", time.Now()))
	all, err := Look(Dir(cfg.State))
	if err != nil || len(all) != 1 || all[0].Delivered != 1 || all[0].Pending != 1 {
		t.Errorf("written later: %+v, %v", all, err)
	}
}

// TestFindingsStand: what a drill or a verification found in one place is not disproved by one that looked elsewhere.
func TestFindingsStand(t *testing.T) {
	teller, now, _ := quiet(t)
	tell := func(jobName, args, kind string) {
		*now = now.Add(time.Minute)
		r := step(jobName, args, kind, *now)
		if strings.HasPrefix(args, "verify") {
			r.Tier = "s3"
		}
		teller.Result(r)
	}
	tell("drill", "drill mariadb --from s3", "damage")
	tell("drill", "drill mariadb --from local", "")
	tell("audit", "verify --all --full --tier s3", "damage")
	tell("", "verify latest:kolla --tier s3", "")
	for _, title := range pending(t, teller) {
		if strings.Contains(title, "works again") {
			t.Error(title)
		}
	}
	tell("drill", "drill mariadb --from s3", "")
	tell("", "verify --all --full --tier s3", "")
	got := strings.Join(pending(t, teller), "; ")
	if strings.Count(got, "works again") != 2 {
		t.Errorf("once both are in order: %s", got)
	}
}

// TestPartsSayNothingOfTheWhole: what an operator does of a part, or from elsewhere, disproves no failure of the whole, and the other way
// round; a job's part that failed is done by the same part.
func TestPartsSayNothingOfTheWhole(t *testing.T) {
	teller, now, _ := quiet(t)
	tell := func(jobName, args, kind string, sources ...string) {
		*now = now.Add(time.Minute)
		r := step(jobName, args, kind, *now)
		r.Sources = sources
		teller.Result(r)
	}
	tell("cloud", "backup rbd", "failed", "rbd")
	tell("often", "backup rbd --only vms/*", "failed", "rbd")
	tell("cloud", "replicate s3", "unreachable")
	tell("", "backup rbd --only volumes/a", "", "rbd")
	tell("", "replicate s3 --point p1", "")
	tell("", "replicate s3 --from local", "")
	for _, title := range pending(t, teller) {
		if strings.Contains(title, "works again") {
			t.Error(title)
		}
	}
	tell("", "backup rbd --only=vms/*", "", "rbd")
	tell("", "replicate s3", "")
	tell("", "backup", "")
	got := strings.Join(pending(t, teller), "; ")
	if strings.Count(got, "works again") != 3 {
		t.Errorf("once all are done: %s", got)
	}
}

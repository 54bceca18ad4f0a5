package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/s3"
	"holdfast/internal/secret"
	"holdfast/internal/vault"
	"holdfast/test/journey"
)

// TestLockedStore locks what a bucket holds, and has an attacker with the tier's keys delete everything that he can.
func TestLockedStore(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "locked", true))
	must(t, l.MakeBucket(t.Context(), "plain", false))
	site := func(lock, bucket string) *journey.Operator {
		return journey.At(t, journey.NewSite(t, l, func(config string) string {
			return strings.Replace(config, "kolla:\n", l.S3Tier("s3", bucket+"/cloud", "", "lock: "+lock)+"kolla:\n", 1)
		}))
	}
	site("{mode: compliance, days: 3}", "plain").Fails(2, []string{"no object lock", "--object-lock-enabled-for-bucket"}, "init", "--yes")

	op := site("{mode: compliance, days: 3}", "locked")
	op.Run("init", "--yes")
	p := op.Backup("ceph")
	op.Run("replicate")
	var shown point.Point
	must(t, json.Unmarshal([]byte(op.Run("show", p.ID, "--tier", "s3", "--json")), &shown))
	until := shown.Tiers[0].LockedUntil
	if until == nil || time.Until(*until) < 71*time.Hour || time.Until(*until) > 72*time.Hour {
		t.Errorf("locked until %v", until)
	}
	if out := op.Try("status", "--json").Stdout; !strings.Contains(out, `"locks": true`) || strings.Contains(out, `"locked"`) {
		t.Errorf("status says\n%s", out)
	}
	if out := op.Run("points", "--tier", "s3"); !strings.Contains(out, "locked until") {
		t.Errorf("points says\n%s", out)
	}
	if out := op.Try("doctor").Stdout; !strings.Contains(out, "could be hidden, and not be removed") || !strings.Contains(out, "none but by Holdfast itself") {
		t.Errorf("doctor says\n%s", out)
	}
	testLifecycle(t, l, op)
	second := op.Backup("ceph")
	op.Run("replicate")
	op.Run("points", "hold", p.ID, "--reason", "audit")
	op.Run("points", "hold", second.ID, "--reason", "not for long")
	op.Run("points", "release", second.ID)
	locked, _ := retentions(t, l, "locked")
	if !slices.ContainsFunc(slices.Collect(maps.Keys(locked)), func(name string) bool { return strings.HasPrefix(name, "cloud/holdfast.hold.") }) {
		t.Errorf("no hold is among the locked %v", locked)
	}
	testHoldsDeleted(t, l, op, p.ID)
	testAttack(t, l, op, p.ID)
	if holds := holdsOf(t, op); len(holds) != 1 || holds[0] != p.ID {
		t.Errorf("on hold after all came back are %v", holds)
	}
}

// TestLockThatKeysCanLift locks in a way that whoever owns the bucket may lift: doctor says that the tier's own keys may.
func TestLockThatKeysCanLift(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "lifted", true))
	op := journey.At(t, journey.NewSite(t, l, func(config string) string {
		return strings.Replace(config, "kolla:\n", l.S3Tier("s3", "lifted/cloud", "", "lock: {mode: governance, days: 3}")+"kolla:\n", 1)
	}))
	op.Run("init", "--yes")
	out := op.Try("doctor").Stdout
	if !strings.Contains(out, "the tier's own keys can lift the lock and remove what is locked") || !strings.Contains(out, "lock: {mode: compliance}") {
		t.Errorf("doctor says\n%s", out)
	}
}

// testLifecycle gives the bucket a rule that removes old versions, which doctor misses before.
func testLifecycle(t *testing.T, l *lab.Lab, op *journey.Operator) {
	const hoards = "no rule of it ever removes them"
	if out := op.Try("doctor").Stdout; !strings.Contains(out, hoards) {
		t.Errorf("without a rule doctor says\n%s", out)
	}
	c, err := l.S3()
	must(t, err)
	rule := func(prefix string) {
		t.Helper()
		must(t, c.SetBucketLifecycle(t.Context(), "locked", &lifecycle.Configuration{Rules: []lifecycle.Rule{{
			ID: "old", Status: "Enabled", RuleFilter: lifecycle.Filter{Prefix: prefix}, Expiration: lifecycle.Expiration{DeleteMarker: true},
			NoncurrentVersionExpiration: lifecycle.NoncurrentVersionExpiration{NoncurrentDays: 3},
		}}}))
	}
	rule("elsewhere/")
	if out := op.Try("doctor").Stdout; !strings.Contains(out, hoards) {
		t.Errorf("with a rule for other objects doctor says\n%s", out)
	}
	rule("cloud/")
	if out := op.Try("doctor").Stdout; strings.Contains(out, hoards) || !strings.Contains(out, "none are kept for good") {
		t.Errorf("with a rule doctor says\n%s", out)
	}
}

// testHoldsDeleted deletes the holds alone: nobody may take their points for free.
func testHoldsDeleted(t *testing.T, l *lab.Lab, op *journey.Operator, id string) {
	c, err := l.S3()
	must(t, err)
	n := 0
	for o := range c.ListObjects(t.Context(), "locked", minio.ListObjectsOptions{Prefix: "cloud/holdfast.hold."}) {
		must(t, o.Err)
		must(t, c.RemoveObject(t.Context(), "locked", o.Key, minio.RemoveObjectOptions{}))
		n++
	}
	if holds := holdsOf(t, op); n != 1 || len(holds) != 0 {
		t.Errorf("%d holds were deleted, on hold are %v", n, holds)
	}
	pass, err := os.ReadFile(filepath.Join(l.Options.Dir, "secrets", "passphrase.s3"))
	must(t, err)
	loc := vault.Location{Tier: "s3", URL: "s3://locked/cloud", S3: &vault.S3{Endpoint: l.Ceph.Endpoint, PathStyle: true, Keys: func(context.Context) (s3.Keys, error) {
		return labKeys(t, l, "s3.access", "s3.secret"), nil
	}}}
	v, err := vault.Open(t.Context(), loc, secret.New(strings.TrimSpace(string(pass))), vault.OpenOptions{Cloud: "lab"})
	must(t, err)
	defer v.Close(context.WithoutCancel(t.Context()))
	if err := v.Delete(t.Context(), id); err == nil || !strings.Contains(err.Error(), "somebody deleted 1 holds") || !strings.Contains(problem.HintOf(err), "undelete s3") {
		t.Errorf("the point that was on hold is deleted: %v", err)
	}
	if out := op.Try("doctor").Stdout; !strings.Contains(out, "somebody deleted 1 blobs") {
		t.Errorf("doctor says\n%s", out)
	}
	if out := op.Run("undelete", "s3", "--yes"); !strings.Contains(out, "1 blobs are back") {
		t.Errorf("undelete says\n%s", out)
	}
	if holds := holdsOf(t, op); len(holds) != 1 || holds[0] != id {
		t.Errorf("on hold are %v", holds)
	}
}

// holdsOf are the points of the bucket that are on hold.
func holdsOf(t *testing.T, op *journey.Operator) (ids []string) {
	t.Helper()
	var points []point.Point
	must(t, json.Unmarshal([]byte(op.Run("points", "--tier", "s3", "--json")), &points))
	for _, p := range points {
		if len(p.Tiers) > 0 && strings.HasPrefix(p.Tiers[0].KeepReason, "on hold") {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// verifiedIn is when a point was found whole in the bucket, as far as is remembered.
func verifiedIn(t *testing.T, op *journey.Operator, id string) string {
	t.Helper()
	var p point.Point
	must(t, json.Unmarshal([]byte(op.Run("show", id, "--tier", "s3", "--json")), &p))
	if at := p.Tiers[0].Verified; at != nil {
		return at.String()
	}
	return "never"
}

// testAttack has everything deleted, reads what was, and takes it back.
func testAttack(t *testing.T, l *lab.Lab, op *journey.Operator, id string) {
	before := nextSecond(t, l, "locked").UTC().Format(time.RFC3339)
	nextSecond(t, l, "locked")
	known := verifiedIn(t, op, id)
	hidden, refused, err := l.Attack(context.WithoutCancel(t.Context()), "locked")
	must(t, err)
	t.Logf("the attacker hid %d objects and was refused %d versions", hidden, refused)
	if refused < hidden/2 {
		t.Errorf("%d objects hidden, %d versions refused", hidden, refused)
	}
	op.Fails(5, []string{"somebody deleted the vault", "undelete s3"}, "points", "--tier", "s3")
	if out := op.Try("doctor").Stdout; !strings.Contains(out, "somebody deleted") || !strings.Contains(out, "undelete s3") {
		t.Errorf("doctor says\n%s", out)
	}
	op.Run("verify", id, "--full", "--tier", "s3", "--at", before)
	op.Fails(2, []string{"nothing can be healed there"}, "verify", id, "--heal", "--tier", "s3", "--at", before)
	dir := filepath.Join(t.TempDir(), "past")
	op.Run("restore", "ceph", id, "--to", dir, "--yes", "--tier", "s3", "--at", before)
	if all, err := os.ReadDir(dir); err != nil || len(all) == 0 {
		t.Errorf("nothing came back: %v", err)
	}
	if out := op.Run("undelete", "s3", "--yes"); !strings.Contains(out, "blobs are back") {
		t.Errorf("undelete says\n%s", out)
	}
	if is := verifiedIn(t, op, id); is != known {
		t.Errorf("verified in the bucket %s, and %s before the past was verified", is, known)
	}
	op.Run("verify", id, "--full", "--tier", "s3")
	if out := op.Run("undelete", "s3", "--yes"); !strings.Contains(out, "nothing was deleted") {
		t.Errorf("undelete says again\n%s", out)
	}
}

// TestOverwrittenStore has an attacker with the tier's keys write something else under every name in a locked bucket: all of it can be
// read as it was before, and once the vault opens again undelete brings it all back.
func TestOverwrittenStore(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "overwritten", true))
	p := newUphill(t, l, "overwritten", "v", 2)
	_, err := p.open(p.near).SetImmutable(t.Context(), vault.Immutable{Mode: "compliance", Period: 72 * time.Hour})
	must(t, err)
	journey.At(t, p.site("1y")).Run("replicate", "s3")
	before := nextSecond(t, l, "overwritten").UTC().Format(time.RFC3339)
	nextSecond(t, l, "overwritten")
	p.strikeFar("", func([]byte) []byte { return []byte("pay first") })
	op := journey.At(t, p.site("1y"))
	if r := op.Try("verify", "--full", "--all", "--tier", "s3"); r.Code == 0 {
		t.Errorf("what was overwritten verifies:\n%s", r.Stdout)
	}
	op.Run("verify", "--full", "--all", "--tier", "s3", "--at", before)
	dir := filepath.Join(t.TempDir(), "past")
	op.Run("restore", "files", "p0", "--to", dir, "--yes", "--tier", "s3", "--at", before)
	if data, err := os.ReadFile(filepath.Join(dir, "ctl1/file")); err != nil || !bytes.Equal(data, p.data["p0"]) {
		t.Errorf("%d bytes came back of %d, or others: %v", len(data), len(p.data["p0"]), err)
	}
	op.Fails(4, []string{"blob kopia.repository was put back", "there is no point in tier s3", "holdfast undelete s3"}, "verify", "--heal", "--full", "--all", "--tier", "s3")
	op.Run("undelete", "s3", "--yes") // the indexes that were dropped have been whole once
	op.Run("verify", "--heal", "--full", "--all", "--tier", "s3")
	op.Run("replicate", "s3")
	if n := p.honest(); n != len(p.data) {
		t.Errorf("the bucket holds %d points of %d", n, len(p.data))
	}
	op.Run("verify", "--full", "--all", "--tier", "s3")
	op.Run("verify", "--full", "--all", "--tier", "s3", "--at", before)
}

// nextSecond waits until the store's clock is past the second in which anything in a bucket was last put, and returns the new one: times
// in buckets are whole seconds.
func nextSecond(t *testing.T, l *lab.Lab, bucket string) (at time.Time) {
	t.Helper()
	c, err := l.S3()
	must(t, err)
	var newest int64
	for o := range c.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		must(t, o.Err)
		newest = max(newest, o.LastModified.Unix())
	}
	await(t, "the next second of the store", func() bool {
		_, err := c.PutObject(t.Context(), bucket, "clock", strings.NewReader("tick"), 4, minio.PutObjectOptions{DisableMultipart: true})
		must(t, err)
		info, err := c.StatObject(t.Context(), bucket, "clock", minio.StatObjectOptions{})
		must(t, err)
		at = info.LastModified
		return at.Unix() > newest
	})
	return at
}

// TestLocksAreExtended gives a lock to a vault that has none, and extends those of what it holds.
func TestLocksAreExtended(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "extended", true))
	p := newUphill(t, l, "extended", "v", 1)
	if _, err := p.replicate(); err != nil {
		t.Fatal(err)
	}
	v := p.open(p.near)
	if until, err := v.LockedUntil(t.Context()); err != nil || !until.IsZero() {
		t.Errorf("without a lock it is locked until %v, %v", until, err)
	}
	if locked, free := retentions(t, l, "extended"); len(locked) != 0 || free == 0 {
		t.Errorf("%d objects are locked, %d are not", len(locked), free)
	}
	changed, err := v.SetImmutable(t.Context(), vault.Immutable{Mode: "governance", Period: 72 * time.Hour})
	must(t, err)
	first, err := v.LockedUntil(t.Context())
	must(t, err)
	if !changed || time.Until(first) < 71*time.Hour {
		t.Errorf("changed %v, locked until %v", changed, first)
	}
	was, _ := retentions(t, l, "extended")
	began := time.Now()
	if done, err := v.ExtendLocks(t.Context(), false); done || err != nil {
		t.Errorf("extended before it was due: %v, %v", done, err)
	}
	await(t, "a later second, of which locks are", func() bool { return time.Now().Unix() > began.Unix() })
	if done, err := v.ExtendLocks(t.Context(), true); !done || err != nil {
		t.Errorf("not extended: %v, %v", done, err)
	}
	now, _ := retentions(t, l, "extended")
	for name, until := range was {
		if !now[name].After(until) {
			t.Errorf("%s is locked until %v, before until %v", name, now[name], until)
		}
	}
	c, err := l.S3()
	must(t, err)
	renewed := first
	due := func(what string, do func()) { // where the record cannot be read, the locks are due
		t.Helper()
		_, err := c.PutObject(t.Context(), "extended", "v/holdfast.lock", strings.NewReader("damaged"), 7, minio.PutObjectOptions{DisableMultipart: true})
		must(t, err)
		do()
		until, err := v.LockedUntil(t.Context())
		if err != nil || !until.After(renewed) {
			t.Errorf("%s: locked until %v, before until %v, %v", what, until, renewed, err)
		}
		renewed = until
	}
	due("asked for", func() {
		if done, err := v.ExtendLocks(t.Context(), false); !done || err != nil {
			t.Errorf("with a record that cannot be read: %v, %v", done, err)
		}
	})
	site := p.site("1y")
	op := journey.At(t, site)
	due("by a replication", func() { op.Run("replicate", "s3") })
	due("by a prune", func() { op.Run("prune", "s3", "--yes") })
	local := p.local.Location().URL
	must(t, os.Rename(local, local+".gone"))
	due("with nothing to copy from", func() {
		if r := op.Try("replicate", "s3"); r.Code == 0 {
			t.Error("copied from nothing")
		}
	})
	must(t, os.Rename(local+".gone", local))
	withTierBetween(t, site)
	op.Run("init", "--yes")
	due("by a prune of the first of three", func() { op.Run("prune", "local", "--yes") })
	due("by a replication to the second of three", func() { op.Run("replicate", "middle") })
	packs := 0
	for name := range now {
		if strings.HasPrefix(name, "v/p") || strings.HasPrefix(name, "v/q") {
			packs++
		}
	}
	if packs == 0 {
		t.Error("no pack was locked")
	}
}

// withTierBetween puts a tier between the two of a site, whose last one has a lock.
func withTierBetween(t *testing.T, site journey.Site) {
	t.Helper()
	config, err := os.ReadFile(site.Config)
	must(t, err)
	dir := filepath.Dir(site.Config)
	write(t, site.Config, strings.Replace(string(config), "  - name: s3\n", fmt.Sprintf(`  - {name: middle, url: 'file://%s/middle', passphrase: {file: %s/passphrase}, keep: 1y, reserve: 0%%}
  - name: s3
    lock: {mode: governance, days: 3}
`, dir, dir), 1))
}

// TestSpoiltLocks has somebody with the tier's keys lock some packs for longer, and more strictly, than is planned, and hide one: all
// are locked anew all the same.
func TestSpoiltLocks(t *testing.T) {
	l := labtest.New(t, labtest.Hosts, labtest.EmptyCeph)
	must(t, l.MakeBucket(t.Context(), "spoilt", true))
	p := newUphill(t, l, "spoilt", "v", 2)
	if _, err := p.replicate(); err != nil {
		t.Fatal(err)
	}
	v := p.open(p.near)
	_, err := v.SetImmutable(t.Context(), vault.Immutable{Mode: "governance", Period: 72 * time.Hour})
	must(t, err)
	c, err := l.S3()
	must(t, err)
	was, _ := retentions(t, l, "spoilt")
	packs := slices.DeleteFunc(slices.Sorted(maps.Keys(was)), func(name string) bool { return !strings.HasPrefix(name, "v/p") && !strings.HasPrefix(name, "v/q") })
	if len(packs) < 4 {
		t.Fatalf("only %v are packs", packs)
	}
	lock := func(name string, mode minio.RetentionMode, until time.Time) {
		t.Helper()
		must(t, c.PutObjectRetention(t.Context(), "spoilt", name, minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until, GovernanceBypass: true}))
	}
	century, stricter := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), was[packs[1]].Add(time.Second)
	lock(packs[0], minio.Governance, century)
	lock(packs[1], minio.Compliance, stricter)
	hidden, err := c.StatObject(t.Context(), "spoilt", packs[2], minio.StatObjectOptions{})
	must(t, err)
	must(t, c.RemoveObject(t.Context(), "spoilt", packs[2], minio.RemoveObjectOptions{}))
	await(t, "a later second, of which locks are", func() bool { return time.Until(stricter) < 72*time.Hour-time.Second })

	if done, err := v.ExtendLocks(t.Context(), true); !done || err != nil {
		t.Errorf("not extended: %v, %v", done, err)
	}
	now, _ := retentions(t, l, "spoilt")
	if !now[packs[0]].Equal(century) || !now[packs[1]].After(stricter) {
		t.Errorf("what is locked for longer is locked until %v, and what is locked more strictly until %v", now[packs[0]], now[packs[1]])
	}
	for name, until := range was {
		if name != packs[2] && !now[name].After(until) {
			t.Errorf("%s is locked until %v, before until %v", name, now[name], until)
		}
	}
	_, until, err := c.GetObjectRetention(t.Context(), "spoilt", packs[2], hidden.VersionID)
	must(t, err)
	told, err := v.LockedUntil(t.Context())
	must(t, err)
	if until.Before(told.Truncate(time.Second)) {
		t.Errorf("what is hidden is locked until %v, the vault until %v", until, told)
	}
	testStricterLocks(t, p, packs[0], century)
}

// testStricterLocks has the vault lock more strictly, for a shorter time than its blobs are locked already, one of them for a century:
// that stays as it is, the others are renewed when they are due, and doctor can tell that they are weaker.
func testStricterLocks(t *testing.T, p *uphill, name string, century time.Time) {
	_, err := vault.Undelete(t.Context(), p.near, storePass, vault.OpenOptions{Cloud: storeCloud})
	must(t, err)
	v := p.open(p.near)
	for _, days := range []time.Duration{1, 4} {
		changed, err := v.SetImmutable(t.Context(), vault.Immutable{Mode: "compliance", Period: days * 24 * time.Hour})
		if !changed || err != nil {
			t.Errorf("%d days: changed %v, %v", days, changed, err)
		}
		if n, err := v.WeakerLocks(t.Context()); err != nil || n < 2 {
			t.Errorf("%d days: %d locks are weaker, %v", days, n, err)
		}
	}
	if until, err := v.LockedUntil(t.Context()); err != nil || time.Until(until) < 95*time.Hour {
		t.Errorf("locked until %v, %v", until, err)
	}
	c, err := p.lab.S3()
	must(t, err)
	if mode, until, err := c.GetObjectRetention(t.Context(), "spoilt", name, ""); err != nil || *mode != minio.Governance || !until.Equal(century) {
		t.Errorf("what is locked for longer is locked as %v until %v, %v", mode, until, err)
	}
}

// retentions are the locks of the objects in a bucket, and how many have none.
func retentions(t *testing.T, l *lab.Lab, bucket string) (locked map[string]time.Time, free int) {
	t.Helper()
	c, err := l.S3()
	must(t, err)
	locked = map[string]time.Time{}
	for o := range c.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		must(t, o.Err)
		if _, until, err := c.GetObjectRetention(t.Context(), bucket, o.Key, ""); err == nil && until != nil {
			locked[o.Key] = *until
		} else {
			free++
		}
	}
	return locked, free
}

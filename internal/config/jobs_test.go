package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const allTiers = `tiers:
  - {name: local, url: "file:///v"}
  - {name: disk, url: "file:///w", keep: 30d}
  - {name: offsite, url: "file:///x", keep: 1y}
`

func jobsOf(t *testing.T, text string) (all []string) {
	t.Helper()
	c, err := Parse("/etc/hf/holdfast.yml", []byte("cloud: c\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range c.Jobs() {
		p, err := c.Plan(j)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, j.Name+": "+p.Rule.String()+" "+p.Zone.String()+": "+strings.Join(j.Do, ", "))
	}
	return all
}

func TestDefaultJobs(t *testing.T) {
	whole := jobsOf(t, allTiers+"kolla: {inventory: hosts}\nmariadb: {user: b, password: {file: p}}\nceph: [{id: b}]\nrbd: {pools: [volumes]}\nschedule: {zone: UTC}\n")
	want := []string{
		"database: daily at 02:00 UTC: mariadb", "config: daily at 03:00 UTC: kolla", "ceph: weekly sunday 04:00 UTC: ceph",
		"cloud: weekly saturday 22:00 UTC: mariadb, kolla, ceph, rbd",
		"offsite: monthly 1 05:00 UTC: replicate offsite, verify --all --tier offsite, prune offsite --yes", "drill: monthly 1 06:00 UTC: drill mariadb --all-shards",
	}
	if diff := cmp.Diff(want, whole); diff != "" {
		t.Error(diff)
	}
	small := jobsOf(t, "tiers: [{name: local, url: file:///v}]\nkolla: {inventory: hosts}\nschedule:\n  zone: UTC\n  config: {when: every 4h, zone: Europe/Paris}\n  extra: {when: daily 05:00, do: [doctor]}\n")
	if diff := cmp.Diff([]string{"config: every 4h Europe/Paris: kolla", "extra: daily 05:00 UTC: doctor"}, small); diff != "" {
		t.Error(diff)
	}
	if none := jobsOf(t, "tiers: [{name: local, url: file:///v}]\nkolla: {inventory: hosts}\nschedule: {config: off}\n"); len(none) != 0 {
		t.Error(none)
	}
}

func TestScheduleIsRead(t *testing.T) {
	c, err := Parse("/etc/hf/holdfast.yml", []byte("cloud: c\ntiers: [{name: local, url: file:///v}]\nkolla: {inventory: hosts}\nserve: {status: 2h}\nschedule:\n  jitter: 5m\n"+
		"  config: {when: daily 03:00, window: '22:00-06:00', catch_up: false, then: false, retry: {after: 10m}, jitter: 1h}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Job{
		Name: "config", When: "daily 03:00", Do: []string{"kolla"}, Window: "22:00-06:00", Jitter: time.Hour, Retry: Retry{10 * time.Minute, DefaultRetryMost},
	}
	if diff := cmp.Diff([]Job{want}, c.Jobs()); diff != "" {
		t.Error(diff)
	}
	if c.Socket() != "/var/lib/holdfast/serve/socket" || c.Serve.Status != 2*time.Hour {
		t.Errorf("%s %s", c.Socket(), c.Serve.Status)
	}
}

// TestPromisesFollowTheSchedule: what is done once a week is not late every other day.
func TestPromisesFollowTheSchedule(t *testing.T) {
	const sources = "kolla: {inventory: hosts}\nmariadb: {user: b, password: {file: p}}\nceph: [{id: b}]\nrbd: {pools: [volumes]}\n"
	week, month := 7*Day+14*time.Hour, 31*Day+62*time.Hour
	for more, want := range map[string]Promises{
		"": {RPO: DefaultRPO, Read: DefaultRead, Sources: map[string]time.Duration{"ceph": week, "rbd": week}, Tiers: map[string]time.Duration{"offsite": month + week}},
		"schedule: {ceph: daily 04:00, cloud: every 12h, offsite: off}\n": {RPO: DefaultRPO, Read: DefaultRead},
		"promises: {rpo: 4h}\n": {RPO: 4 * time.Hour, Read: DefaultRead},
		"promises: {sources: {rbd: 2h}, tiers: {offsite: 9d}}\n": {
			RPO: DefaultRPO, Read: DefaultRead, Sources: map[string]time.Duration{"ceph": week, "rbd": 2 * time.Hour}, Tiers: map[string]time.Duration{"offsite": 9 * Day},
		},
	} {
		c, err := Parse("/etc/hf/holdfast.yml", []byte("cloud: c\n"+allTiers+sources+more))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Promised(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", more, diff)
		}
	}
}

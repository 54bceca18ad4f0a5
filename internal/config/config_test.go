package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

var update = flag.Bool("update", false, "rewrite the expected errors")

// TestErrors reads every testdata/*.txtar: a holdfast.yml and the faults that it must be told, with places and hints.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil || len(archive.Files) != 2 {
				t.Fatalf("%d files: %v", len(archive.Files), err)
			}
			_, err = Parse("holdfast.yml", archive.Files[0].Data)
			got := tell(t, err)
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func tell(t *testing.T, err error) string {
	t.Helper()
	var errs *Errors
	if !errors.As(err, &errs) {
		t.Fatalf("want *Errors, got %v", err)
	}
	if problem.KindOf(err) != problem.Usage {
		t.Errorf("kind %v is not usage", problem.KindOf(err))
	}
	var b strings.Builder
	for _, f := range errs.Faults {
		b.WriteString(f.String() + "\n")
		if f.Hint != "" {
			b.WriteString("  " + f.Hint + "\n")
		}
	}
	return b.String()
}

const whole = `
cloud: prod
state: /srv/state
tiers:
  - name: local
    url: file:///srv/vault
    passphrase: {file: pass}
  - {name: far, url: "file:far vault", passphrase: {command: "pass show holdfast"}, reserve: 2.5%,
     keep: {age: 90d, within: 1w, last: 3, daily: 14, weekly: 5, monthly: 12, yearly: 7, zone: Europe/Paris, sources: {rbd: {age: 30d}, mariadb: {monthly: 24}}}}
kolla:
  inventory: [multinode, /etc/extra]
  vault_password: {file: /root/vp}
  tolerate: 0.2
mariadb:
  user: backup
  password: {kolla_key: mariadb_backup_database_password}
  desync: true
  shards:
    - {id: 0, nodes: [ctl1, ctl2]}
    - {id: 1, user: b1, password: {file: b1}}
  control: {kind: command, stop: "stop it", start: s, bootstrap: b}
ceph:
  - conf: ceph.conf
  - {name: far, conf: /etc/ceph/far.conf, id: backup, run_on: ctl1, container: ceph_mon, engine: podman, listen: "192.0.2.1:8440"}
rbd:
  pools: [volumes, {name: images, cluster: far, piece: 1MiB, ops: 4, limit: 200MiB}]
  include:
    - {volume_type: gold, larger: 1GiB, smaller: 2TiB}
    - {pool: images, usage: used}
  exclude:
    - {name: "volume-[0-9]*", project: scratch pad, metadata: {backup: none, "a: b": "true"}}
  distrust: 7
  checkpoint: 9
  sample: 5
  freeze:
    include: [{project: shop}]
    exclude: [{metadata: {freeze: never}}]
    timeout: 20s
    run: host
    container: libvirt
    engine: podman
    virsh: /opt/virsh
`

var defaultRetry = Retry{DefaultRetryAfter, DefaultRetryMost}

func wholeConfig(file string) Config {
	return Config{
		File:  file,
		Cloud: "prod", State: "/srv/state", Kit: "/srv/state/kit",
		Tiers: []Tier{
			{Name: "local", URL: "file:///srv/vault", Passphrase: secret.Ref{File: "/etc/hf/pass"}, Keep: Keep{Rules: Rules{Age: 7 * Day}}, Reserve: 0.1, Retry: defaultRetry},
			{
				Name: "far", URL: "file:///etc/hf/far%20vault", Passphrase: secret.Ref{Command: "pass show holdfast"},
				Reserve: 0.025, Retry: defaultRetry,
				Keep: Keep{
					Rules: Rules{Age: 90 * Day, Within: Week, Last: 3, Daily: 14, Weekly: 5, Monthly: 12, Yearly: 7}, Zone: "Europe/Paris",
					Sources: map[string]Rules{"rbd": {Age: 30 * Day}, "mariadb": {Monthly: 24}},
				},
			},
		},
		Kolla: Kolla{
			Inventory: []string{"/etc/hf/multinode", "/etc/extra"}, Config: "/etc/kolla",
			VaultPassword: secret.Ref{File: "/root/vp"}, Tolerate: 0.2,
		},
		Promises: defaultPromises(),
		Notify:   defaultNotify(), Metrics: Metrics{Listen: DefaultListen},
		MariaDB: &MariaDB{
			User: "backup", Password: secret.Ref{KollaKey: "mariadb_backup_database_password"},
			Admin: Login{User: "root", Password: secret.Ref{KollaKey: "database_password"}},
			Run:   "container", Container: "mariadb", Enter: "auto", Desync: true,
			Shards: []Shard{
				{ID: 0, Nodes: []string{"ctl1", "ctl2"}},
				{ID: 1, User: "b1", Password: secret.Ref{File: "/etc/hf/b1"}},
			},
			Control: Control{Kind: "command", Stop: "stop it", Start: "s", Bootstrap: "b"},
		},
		Ceph: []Ceph{
			{Name: "ceph", Conf: "/etc/hf/ceph.conf", ID: "holdfast"},
			{Name: "far", Conf: "/etc/ceph/far.conf", ID: "backup", RunOn: "ctl1", Container: "ceph_mon", Engine: "podman", Listen: "192.0.2.1:8440"},
		},
		RBD: &RBD{
			Pools: []Pool{{Name: "volumes"}, {Name: "images", Cluster: "far", Piece: 1 << 20, Ops: 4, Limit: 200 << 20}}, Distrust: 7, Checkpoint: 9, Sample: 5,
			Include: []Selector{{VolumeType: "gold", Larger: 1 << 30, Smaller: 2 << 40}, {Pool: "images", Usage: Used}},
			Exclude: []Selector{{Name: "volume-[0-9]*", Project: "scratch pad", Metadata: map[string]string{"backup": "none", "a: b": "true"}}},
			Freeze: &Freeze{
				Include: []Selector{{Project: "shop"}}, Exclude: []Selector{{Metadata: map[string]string{"freeze": "never"}}},
				Timeout: 20 * time.Second, Run: "host", Container: "libvirt", Engine: "podman", Virsh: "/opt/virsh",
			},
		},
	}
}

func TestParseWhole(t *testing.T) {
	got, err := Parse("/etc/hf/holdfast.yml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wholeConfig("/etc/hf/holdfast.yml"), *got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseDefaults(t *testing.T) {
	got, err := Parse("/etc/hf/holdfast.yml", []byte("cloud: c\ntiers: [{name: local, url: file:///v}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		File: "/etc/hf/holdfast.yml", Cloud: "c", State: "/var/lib/holdfast", Kit: "/var/lib/holdfast/kit",
		Tiers: []Tier{{Name: "local", URL: "file:///v", Keep: Keep{Rules: Rules{Age: 7 * 24 * time.Hour}}, Reserve: 0.1, Retry: defaultRetry}},
		Kolla: Kolla{Config: "/etc/kolla", Tolerate: 0.1},

		Promises: Promises{RPO: 26 * time.Hour, Read: 30 * 24 * time.Hour},
		Notify:   defaultNotify(), Metrics: Metrics{Listen: "127.0.0.1:9466"},
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadResolvesAgainstTheFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "h.yml"), []byte("cloud: c\nstate: st\ntiers: [{name: l, url: 'file:v'}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(dir))
	got, err := Load(filepath.Join(filepath.Base(dir), "h.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if got.File != filepath.Join(dir, "h.yml") || got.State != filepath.Join(dir, "st") ||
		got.Tiers[0].URL != "file://"+filepath.Join(dir, "v") {
		t.Errorf("got %+v", got)
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yml"))
	if problem.KindOf(err) != problem.Usage || !strings.Contains(problem.HintOf(err), "holdfast init") {
		t.Errorf("got %v, hint %q", err, problem.HintOf(err))
	}
}

func TestFind(t *testing.T) {
	env := map[string]string{}
	getenv := func(key string) string { return env[key] }
	if got := Find("", getenv); got != DefaultFile {
		t.Error(got)
	}
	env[EnvFile] = "/from/env"
	if got := Find("", getenv); got != "/from/env" {
		t.Error(got)
	}
	if got := Find("/given", getenv); got != "/given" {
		t.Error(got)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"36h": 36 * time.Hour, "7d": 7 * Day, "90d": 90 * Day, "1y": Year, "4w": 28 * Day, "1y30d": Year + 30*Day, "90s": 90 * time.Second,
	} {
		got, err := ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if back, err := ParseDuration(FormatDuration(got)); err != nil || back != got {
			t.Errorf("%s: %v written as %s reads as %v, %v", text, got, FormatDuration(got), back, err)
		}
	}
	for _, text := range []string{"", "7", "d", "7x", "-7d", "7 d", "1.5d", "0d", "300y", "99999999999999999999d", "7é"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: accepted as %v", text, got)
		}
	}
}

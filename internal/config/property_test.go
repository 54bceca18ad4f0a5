package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdfast/internal/secret"
)

// TestRenderReadsBack draws configurations and demands that a rendered one reads back as the same.
func TestRenderReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := aConfig(t)
		text := Render(want)
		got, err := Parse("/etc/hf/holdfast.yml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, text)
		}
	})
}

var (
	names = rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,20}`)
	paths = rapid.Map(rapid.StringMatching(`[a-zé #'":{}%?*&!-]{1,12}`), func(s string) string { return "/p/" + s })
	texts = rapid.StringMatching(`[!-~][ -~\n\tä€]{0,30}`)
	share = rapid.Float64Range(0, 0.9999)
	spans = rapid.Map(rapid.Int64Range(1, int64(100*Year/time.Second)), func(n int64) time.Duration {
		return time.Duration(n) * time.Second
	})
)

func aSecret(kollaKey bool) *rapid.Generator[secret.Ref] {
	kinds := []*rapid.Generator[secret.Ref]{
		rapid.Map(paths, func(s string) secret.Ref { return secret.Ref{File: s} }),
		rapid.Map(texts, func(s string) secret.Ref { return secret.Ref{Command: s} }),
	}
	if kollaKey {
		kinds = append(kinds, rapid.Map(names, func(s string) secret.Ref { return secret.Ref{KollaKey: s} }))
	}
	return rapid.OneOf(kinds...)
}

// aPlace gives a tier any kind of place, with limits.
func aPlace(t *rapid.T, tier Tier) Tier {
	switch rapid.SampledFrom([]string{"file", "s3", "sftp"}).Draw(t, "place") {
	case "s3":
		tier.URL = "s3://bucket/" + tier.Name
		tier.S3 = &S3{
			Endpoint: rapid.SampledFrom([]string{"", "https://s3.example.com", "http://[::1]:8000"}).Draw(t, "endpoint"), PathStyle: rapid.Bool().Draw(t, "path_style"),
			AccessKey: aSecret(false).Draw(t, "access_key"), SecretKey: aSecret(false).Draw(t, "secret_key"),
			Classes: Classes{Packs: rapid.SampledFrom([]string{"", "STANDARD_IA"}).Draw(t, "packs"), Indexes: rapid.SampledFrom([]string{"", "STANDARD"}).Draw(t, "indexes")},
		}
		if rapid.Bool().Draw(t, "locked") {
			tier.Lock = Lock{Mode: rapid.SampledFrom([]string{"governance", "compliance"}).Draw(t, "mode"), Days: rapid.IntRange(LeastLock, LongestLock).Draw(t, "days")}
		}
	case "sftp":
		tier.URL, tier.SSHConfig = "sftp://backup@host:2222/v/"+tier.Name, rapid.SampledFrom([]string{"", "/etc/hf/ssh"}).Draw(t, "ssh_config")
	}
	tier.Retry = rapid.SampledFrom([]Retry{{DefaultRetryAfter, DefaultRetryMost}, {10 * time.Minute, Day}}).Draw(t, "retry")
	for range rapid.IntRange(0, 2).Draw(t, "limits") {
		minute := rapid.IntRange(0, 24*60-1)
		tier.Limits = append(tier.Limits, Limit{
			From: time.Duration(minute.Draw(t, "from")) * time.Minute, To: time.Duration(minute.Draw(t, "to")+1) * time.Minute,
			Rate: rapid.Int64Range(64, 1<<30).Draw(t, "rate") << 10,
		})
	}
	return tier
}

func aConfig(t *rapid.T) Config {
	c := Config{
		File: "/etc/hf/holdfast.yml", Cloud: names.Draw(t, "cloud"),
		State: paths.Draw(t, "state"), Kit: paths.Draw(t, "kit"),
		Kolla: Kolla{Config: DefaultKolla, Tolerate: DefaultTolerate},

		Promises: Promises{RPO: time.Duration(rapid.IntRange(1, 100).Draw(t, "rpo")) * time.Hour, Read: DefaultRead},
		Notify:   aNotify(t),
		Metrics:  Metrics{Listen: rapid.SampledFrom([]string{DefaultListen, "none", "[::]:9000"}).Draw(t, "listen at"), PerImage: rapid.Bool().Draw(t, "per_image"), Textfile: rapid.OneOf(rapid.Just(""), paths).Draw(t, "textfile")},
	}
	for _, name := range rapid.SliceOfNDistinct(names, 1, 4, rapid.ID).Draw(t, "tiers") {
		c.Tiers = append(c.Tiers, aPlace(t, Tier{
			Name: name, URL: FileURL("/v/" + name), Keep: aKeep(t), Reserve: share.Draw(t, "reserve"),
			Passphrase: rapid.OneOf(rapid.Just(secret.Ref{}), aSecret(false)).Draw(t, "passphrase"),
		}))
	}
	if rapid.Bool().Draw(t, "kolla") {
		c.Kolla = Kolla{
			Inventory: rapid.SliceOfN(paths, 1, 3).Draw(t, "inventory"), Config: paths.Draw(t, "config"),
			Tolerate: share.Draw(t, "tolerate"), VaultPassword: aSecret(false).Draw(t, "vault_password"),
		}
		c.MariaDB = aMariaDB(t)
	}
	if rapid.Bool().Draw(t, "rbd") {
		c.Ceph = []Ceph{{Name: DefaultCeph, Conf: paths.Draw(t, "conf"), ID: names.Draw(t, "id"), Listen: rapid.SampledFrom([]string{"", "192.0.2.1", "backup:80"}).Draw(t, "listen")}}
		c.RBD = &RBD{Pools: []Pool{{Name: "volumes"}, {Name: "images", Ops: 3}}, Distrust: rapid.IntRange(1, mostDistrust).Draw(t, "distrust"), Checkpoint: rapid.IntRange(1, mostCheckpoint).Draw(t, "checkpoint")}
		c.RBD.Sample = rapid.IntRange(0, mostSample).Draw(t, "sample")
		some := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Selector { return aSelector(t, c.MariaDB != nil) }), 1, 3)
		c.RBD.Include = rapid.OneOf(rapid.Just[[]Selector](nil), some).Draw(t, "include")
		c.RBD.Exclude = rapid.OneOf(rapid.Just[[]Selector](nil), some).Draw(t, "exclude")
		if c.MariaDB != nil && rapid.Bool().Draw(t, "freeze") {
			c.RBD.Freeze = &Freeze{
				Include: c.RBD.Exclude, Exclude: c.RBD.Include,
				Timeout:   time.Duration(rapid.IntRange(1, 120).Draw(t, "timeout")) * time.Second,
				Run:       rapid.SampledFrom([]string{"container", "host"}).Draw(t, "freeze run"),
				Container: names.Draw(t, "libvirt"), Engine: rapid.SampledFrom([]string{"", "docker", "podman"}).Draw(t, "freeze engine"),
				Virsh: texts.Draw(t, "virsh"),
			}
		}
	}
	aSchedule(t, &c)
	return c
}

func aNotify(t *rapid.T) Notify {
	n := defaultNotify()
	address := rapid.OneOf(rapid.Just(Address{Plain: "https://hooks.example.org/a?b=c d"}), rapid.Map(aSecret(false), func(r secret.Ref) Address { return Address{Ref: r} }))
	if rapid.Bool().Draw(t, "mail") {
		n.Mail = &Mail{Server: names.Draw(t, "server"), TLS: rapid.SampledFrom([]string{"starttls", "implicit"}).Draw(t, "tls"), From: "a@example.org", To: []string{"b@example.org", "c@example.org"}}
		n.Mail.Port, n.Mail.CA = rapid.SampledFrom([]int{mailPort(n.Mail.TLS), 25}).Draw(t, "port"), rapid.SampledFrom([]string{"", "/ca"}).Draw(t, "ca")
		if rapid.Bool().Draw(t, "auth") {
			n.Mail.User, n.Mail.Password = texts.Draw(t, "mail user"), aSecret(false).Draw(t, "mail password")
		}
	}
	if rapid.Bool().Draw(t, "webhook") {
		n.Webhook = &Webhook{URL: address.Draw(t, "hook"), Secret: rapid.OneOf(rapid.Just(secret.Ref{}), aSecret(false)).Draw(t, "hook secret")}
	}
	if rapid.Bool().Draw(t, "ping") {
		n.Ping = &Ping{URL: address.Draw(t, "ping url"), Jobs: rapid.SampledFrom([]map[string]Address{nil, {"database": {Plain: "http://127.0.0.1:1/x"}}}).Draw(t, "jobs")}
	}
	if rapid.Bool().Draw(t, "digest") {
		n.Digest = Digest{Every: rapid.SampledFrom([]string{"daily", "weekly"}).Draw(t, "every"), Day: time.Monday, At: time.Duration(rapid.IntRange(0, 24*60-1).Draw(t, "minute")) * time.Minute}
		n.On = []string{"digest", "failure"}
	}
	return n
}

func aSchedule(t *rapid.T, c *Config) {
	zones := rapid.SampledFrom([]string{"", "UTC", "America/St_Johns"})
	spread := rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour})
	c.Schedule = Schedule{Zone: zones.Draw(t, "zone"), Jitter: spread.Draw(t, "jitter")}
	c.Serve = rapid.SampledFrom([]Serve{{}, {Status: time.Hour}, {Socket: "/run/holdfast/serve.sock"}}).Draw(t, "serve")
	for _, name := range rapid.SliceOfNDistinct(names, 0, 3, rapid.ID).Draw(t, "jobs") {
		if name == "zone" || name == "jitter" {
			continue
		}
		j := Job{
			Name: name, When: rapid.SampledFrom([]string{"daily at 02:00", "30 2 * * 1-5", "every 4h"}).Draw(t, "when"), Do: []string{"replicate", "verify --all"},
			Then: rapid.Bool().Draw(t, "then"), Zone: zones.Draw(t, "zone of job"), Jitter: spread.Draw(t, "jitter of job"), CatchUp: rapid.Bool().Draw(t, "catch_up"),
			Window: rapid.SampledFrom([]string{"", "22:00-06:00"}).Draw(t, "window"), Retry: rapid.SampledFrom([]Retry{{}, {time.Minute, time.Hour}}).Draw(t, "retry of job"),
		}
		c.Schedule.Jobs = append(c.Schedule.Jobs, j)
	}
	if rapid.Bool().Draw(t, "off") {
		j, _ := defaultJob("database")
		j.Off = true
		c.Schedule.Jobs = append(c.Schedule.Jobs, j)
	}
}

func aKeep(t *rapid.T) Keep {
	k := Keep{Rules: someRules.Draw(t, "rules"), Zone: rapid.SampledFrom([]string{"", "UTC", "America/St_Johns"}).Draw(t, "zone")}
	for _, source := range rapid.SliceOfNDistinct(rapid.SampledFrom(ruledSources), 0, 2, rapid.ID).Draw(t, "ruled sources") {
		if k.Sources == nil {
			k.Sources = map[string]Rules{}
		}
		k.Sources[source] = someRules.Draw(t, "rules of "+source)
	}
	return k
}

var someRules = rapid.Custom(func(t *rapid.T) (r Rules) {
	if r.Age = rapid.OneOf(rapid.Just(time.Duration(0)), spans).Draw(t, "age"); r.Age == 0 || rapid.Bool().Draw(t, "more") {
		counts := rapid.IntRange(0, mostKept)
		r.Within, r.Daily, r.Weekly, r.Monthly, r.Yearly = spans.Draw(t, "within"), counts.Draw(t, "daily"), counts.Draw(t, "weekly"), counts.Draw(t, "monthly"), counts.Draw(t, "yearly")
		r.Last = counts.Draw(t, "last")
	}
	return r
})

func aSelector(t *rapid.T, database bool) Selector {
	s := Selector{Pool: rapid.SampledFrom([]string{"volumes", "images"}).Draw(t, "pool")}
	if rapid.Bool().Draw(t, "sizes") {
		s.Pool, s.Name = "", "volume-*[a-f]?"
		s.Larger = rapid.Int64Range(1, 1<<20).Draw(t, "larger") << 10
		s.Smaller = s.Larger + rapid.Int64Range(1, 1<<30).Draw(t, "smaller")<<10
	}
	if database && rapid.Bool().Draw(t, "rows") {
		s.VolumeType, s.Project = texts.Draw(t, "type"), texts.Draw(t, "project")
		s.Metadata = rapid.MapOfN(texts, texts, 1, 3).Draw(t, "metadata")
		s.Usage = rapid.SampledFrom([]string{"", Used, Unused}).Draw(t, "usage")
	}
	return s
}

func aMariaDB(t *rapid.T) *MariaDB {
	m := &MariaDB{
		User: texts.Draw(t, "user"), Password: aSecret(true).Draw(t, "password"),
		Admin:     defaultAdmin,
		Run:       rapid.SampledFrom([]string{"container", "host"}).Draw(t, "run"),
		Container: names.Draw(t, "container"),
		Engine:    rapid.SampledFrom([]string{"", "docker", "podman"}).Draw(t, "engine"),
		Enter:     rapid.SampledFrom([]string{"auto", "exec", "nsenter"}).Draw(t, "enter"),
		Desync:    rapid.Bool().Draw(t, "desync"),
		Control:   Control{Kind: "kolla"},
	}
	if rapid.Bool().Draw(t, "admin") {
		m.Admin = Login{User: texts.Draw(t, "admin user"), Password: secret.Ref{File: paths.Draw(t, "admin password")}}
	}
	for _, id := range rapid.SliceOfNDistinct(rapid.IntRange(0, maxShard), 0, 3, rapid.ID).Draw(t, "shards") {
		s := Shard{ID: id, Nodes: rapid.OneOf(rapid.Just[[]string](nil), rapid.SliceOfN(names, 1, 3)).Draw(t, "nodes")}
		if rapid.Bool().Draw(t, "other user") {
			s.User, s.Password = texts.Draw(t, "user"), aSecret(true).Draw(t, "password")
		}
		m.Shards = append(m.Shards, s)
	}
	if rapid.Bool().Draw(t, "command") {
		m.Control = Control{
			Kind: "command", Stop: texts.Draw(t, "stop"), Start: texts.Draw(t, "start"),
			Bootstrap: texts.Draw(t, "bootstrap"),
		}
	} else if rapid.Bool().Draw(t, "program") {
		m.Control.KollaAnsible = rapid.OneOf(names, paths).Draw(t, "kolla_ansible")
	}
	return m
}

// FuzzParse demands that no input panics, that every refusal has a place, and that what is accepted can be rendered
// and reads back as the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("cloud: c\ntiers: [{name: local, url: file:///v}]\n"))
	f.Add([]byte("a: &a [*a]\ntiers: *a\n"))
	f.Add([]byte("<<: {cloud: x}\ncloud: &c c\nstate: *c\n"))
	f.Add([]byte("\xff\x00{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("/etc/hf/holdfast.yml", data)
		if err != nil {
			for _, fault := range err.(*Errors).Faults {
				if fault.Line < 1 || fault.Col < 1 || fault.Message == "" {
					t.Fatalf("fault without place or message: %+v", fault)
				}
			}
			return
		}
		again, err := Parse("/etc/hf/holdfast.yml", Render(*c))
		if err != nil {
			t.Fatalf("rendered: %v\n%s", err, Render(*c))
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Fatalf("(-first +again):\n%s\n%s", diff, Render(*c))
		}
	})
}

package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Render writes c as a commented file that Parse reads back as c. Keys that hold their default are written too, as
// comments, so that an operator sees what there is to change.
func Render(c Config) []byte {
	w := &writer{}
	w.comment("What Holdfast backs up, and where to. Check it with: holdfast config check")
	w.comment("Relative paths start at the directory of this file. Secrets never stand here, only where to find them.")
	w.line("")
	w.comment("The name of the cloud. It is written into every recovery point and does not change afterwards.")
	w.key("cloud", quote(c.Cloud), false)
	w.line("")
	w.comment("Locks, caches and what is remembered between runs; the recovery kit that must be kept elsewhere.")
	w.key("state", quote(c.State), c.State == DefaultState)
	w.key("kit", quote(c.Kit), c.Kit == filepath.Join(c.State, "kit"))
	w.tiers(c.Tiers)
	w.kolla(c.Kolla)
	if c.MariaDB != nil {
		w.mariadb(*c.MariaDB)
	}
	w.ceph(c.Ceph)
	if c.RBD != nil {
		w.rbd(*c.RBD)
	}
	w.promises(c.Promises)
	w.notify(c.Notify)
	w.metrics(c.Metrics)
	w.schedule(c)
	return []byte(w.b.String())
}

// writer builds the lines of a file.
type writer struct {
	b      strings.Builder
	indent string
	first  string // stands before the next key instead of the indent: the dash of a list
}

func (w *writer) line(s string) { w.b.WriteString(s + "\n") }

func (w *writer) comment(s string) { w.line(w.indent + "# " + s) }

// key writes one key, as a comment if it is only the default.
func (w *writer) key(key, value string, isDefault bool) {
	lead := w.indent
	if isDefault {
		lead += "# "
	} else if w.first != "" {
		lead, w.first = w.first, ""
	}
	w.line(strings.TrimRight(lead+key+": "+value, " "))
}

// nest indents what write writes.
func (w *writer) nest(by string, write func()) {
	outer := w.indent
	w.indent += by
	write()
	w.indent = outer
}

func (w *writer) tiers(tiers []Tier) {
	w.line("")
	w.comment("Each tier is a place with a vault of its own. keep: how long points stay (36h, 7d, 4w, 1y),")
	w.comment("or rules such as {age: 7d, daily: 14, monthly: 12}.")
	w.comment("reserve: the share of the space that stays free. Without passphrase it is asked for on the terminal.")
	w.key("tiers", "", false)
	for i, t := range tiers {
		w.first = "  - "
		w.nest("    ", func() {
			w.key("name", quote(t.Name), false)
			w.key("url", quote(t.URL), false)
			w.secret("passphrase", t.Passphrase)
			keep := renderKeep(t.Keep)
			w.key("keep", keep, i == 0 && keep == FormatDuration(DefaultKeep))
			w.key("reserve", formatShare(t.Reserve), t.Reserve == DefaultReserve)
			w.reach(t)
		})
	}
}

// reach writes how a tier's place is reached and what it is asked to do.
func (w *writer) reach(t Tier) {
	if t.S3 != nil {
		w.key("s3", renderS3(*t.S3), false)
	}
	if t.SSHConfig != "" {
		w.key("ssh_config", quote(t.SSHConfig), false)
	}
	if t.Lock.Days > 0 {
		w.key("lock", fmt.Sprintf("{mode: %s, days: %d}", t.Lock.Mode, t.Lock.Days), false)
	}
	if len(t.Limits) > 0 {
		w.key("limit", renderLimits(t.Limits), false)
	}
	if usual := (Retry{DefaultRetryAfter, DefaultRetryMost}); t.Retry != (Retry{}) && t.Retry != usual {
		w.key("retry", fmt.Sprintf("{after: %s, most: %s}", FormatDuration(t.Retry.After), FormatDuration(t.Retry.Most)), false)
	}
}

func (w *writer) kolla(k Kolla) {
	if len(k.Inventory) == 0 {
		return
	}
	w.line("")
	w.comment("Where the deployment is described. inventory: as given to ansible -i, a path or a list of them.")
	w.key("kolla", "", false)
	w.nest("  ", func() {
		if len(k.Inventory) == 1 {
			w.key("inventory", quote(k.Inventory[0]), false)
		} else {
			w.key("inventory", "", false)
			for _, path := range k.Inventory {
				w.line(w.indent + "  - " + quote(path))
			}
		}
		w.key("config", quote(k.Config), k.Config == DefaultKolla)
		w.comment("Opens an encrypted passwords.yml, only to read the keys that are named below.")
		w.secretOr("vault_password", k.VaultPassword, "{ file: vault-password }")
		w.comment("The share of the hosts other than deploy, control, network and storage that may be missing.")
		w.key("tolerate", formatShare(k.Tolerate), k.Tolerate == DefaultTolerate)
	})
}

func (w *writer) mariadb(m MariaDB) {
	w.line("")
	w.comment("How the database is reached. doctor prints the grants that the user needs.")
	w.key("mariadb", "", false)
	w.nest("  ", func() {
		w.key("user", quote(m.User), false)
		w.secret("password", m.Password)
		w.comment("The account that a table's restore writes with.")
		w.login("admin", m.Admin)
		w.comment("run: container or host. enter: auto, exec or nsenter.")
		w.key("run", m.Run, m.Run == "container")
		w.key("container", quote(m.Container), m.Container == DefaultContainer)
		if m.Engine == "" {
			w.key("engine", "docker", true)
		} else {
			w.key("engine", m.Engine, false)
		}
		w.key("enter", m.Enter, m.Enter == "auto")
		w.comment("Set wsrep_desync while a physical copy is taken; the user needs SUPER for it.")
		w.key("desync", fmt.Sprint(m.Desync), !m.Desync)
		w.shards(m.Shards)
		w.control(m.Control)
	})
}

func (w *writer) ceph(clusters []Ceph) {
	if len(clusters) == 0 {
		return
	}
	w.line("")
	w.comment("The Ceph clusters, as a client of each reaches it. doctor prints the capabilities that the client needs.")
	w.comment("run_on: the host of the inventory whose commands ceph and rbd are used, there in a container if one is named.")
	w.key("ceph", "", false)
	for _, c := range clusters {
		w.first = "  - "
		w.nest("    ", func() {
			w.key("name", quote(c.Name), false)
			w.key("conf", quote(c.Conf), c.Conf == DefaultCephConf)
			w.key("id", quote(c.ID), c.ID == DefaultCephID)
			w.or("run_on", c.RunOn, "ctl1")
			w.or("container", c.Container, "ceph_mon")
			if c.Container != "" {
				w.or("engine", c.Engine, "docker")
			}
			w.or("listen", c.Listen, "192.0.2.10")
		})
	}
}

func (w *writer) rbd(r RBD) {
	w.line("")
	w.comment("Which block images are captured: all of the pools. A pool is a name, or a set of name, cluster, piece, ops and limit.")
	w.comment("include and exclude choose among them: by pool, name, volume_type, project, metadata, larger, smaller and usage.")
	w.key("rbd", "", false)
	w.nest("  ", func() {
		w.key("pools", "", false)
		for _, p := range r.Pools {
			w.first = w.indent + "  - "
			w.nest("    ", func() {
				w.key("name", quote(p.Name), false)
				w.or("cluster", p.Cluster, DefaultCeph)
				w.key("piece", FormatSize(max(p.Piece, leastPiece)), p.Piece == 0)
				w.key("ops", fmt.Sprint(p.Ops), p.Ops == 0)
				w.key("limit", FormatSize(max(p.Limit, LeastLimit)), p.Limit == 0)
			})
		}
		w.selectors("include", r.Include, "[{volume_type: gold}, {pool: images, usage: used}]")
		w.selectors("exclude", r.Exclude, "[{project: scratch}, {metadata: {backup: none}}]")
		w.comment("After how many runs an image is read in full and compared.")
		w.key("distrust", fmt.Sprint(r.Distrust), r.Distrust == DefaultDistrust)
		w.comment("After how many captured images they are kept should the run be cut off.")
		w.key("checkpoint", fmt.Sprint(r.Checkpoint), r.Checkpoint == DefaultCheckpoint)
		w.comment("How many pieces beside what has changed are read and compared after each increment.")
		w.key("sample", fmt.Sprint(r.Sample), r.Sample == DefaultSample)
		if r.Freeze == nil {
			w.key("freeze", "{timeout: "+FormatDuration(DefaultFreezeTimeout)+"}", true)
			return
		}
		w.freeze(*r.Freeze)
	})
}

func (w *writer) freeze(f Freeze) {
	w.comment("Servers whose file systems stand still while their images' snapshots are taken, for at most timeout.")
	w.key("freeze", "", false)
	w.nest("  ", func() {
		w.selectors("include", f.Include, "[{project: shop}]")
		w.selectors("exclude", f.Exclude, "[{metadata: {freeze: never}}]")
		w.key("timeout", FormatDuration(f.Timeout), false)
		w.or("run", f.Run, "container")
		w.or("container", f.Container, DefaultFreezeContainer)
		w.or("engine", f.Engine, "docker")
		w.or("virsh", f.Virsh, DefaultVirsh)
	})
}

// selectors writes a list of them, or an example as a comment.
func (w *writer) selectors(key string, all []Selector, example string) {
	if len(all) == 0 {
		w.key(key, example, true)
		return
	}
	w.key(key, "", false)
	for _, s := range all {
		w.first = w.indent + "  - "
		w.nest("    ", func() { w.selector(s) })
	}
}

func (w *writer) selector(s Selector) {
	text := func(key, value string) {
		if value != "" {
			w.key(key, quote(value), false)
		}
	}
	size := func(key string, value int64) {
		if value > 0 {
			w.key(key, FormatSize(value), false)
		}
	}
	text("pool", s.Pool)
	text("name", s.Name)
	text("volume_type", s.VolumeType)
	text("project", s.Project)
	if len(s.Metadata) > 0 {
		w.key("metadata", "", false)
		w.nest("  ", func() {
			for _, k := range slices.Sorted(maps.Keys(s.Metadata)) {
				w.key(quote(k), quote(s.Metadata[k]), false)
			}
		})
	}
	size("larger", s.Larger)
	size("smaller", s.Smaller)
	text("usage", s.Usage)
}

// or writes a key that has a value, or an example as a comment.
func (w *writer) or(key, value, example string) {
	if value == "" {
		w.key(key, example, true)
		return
	}
	w.key(key, quote(value), false)
}

// login writes an account, commented out when it is the default one.
func (w *writer) login(key string, l Login) {
	if l == defaultAdmin || l == (Login{}) {
		w.key(key, "{ user: "+defaultAdmin.User+", password: { kolla_key: "+defaultAdmin.Password.KollaKey+" } }", true)
		return
	}
	w.key(key, "", false)
	w.nest("  ", func() {
		w.key("user", quote(l.User), false)
		w.secret("password", l.Password)
	})
}

func (w *writer) shards(shards []Shard) {
	if len(shards) == 0 {
		return
	}
	w.comment("What differs from the inventory, for each Galera cluster.")
	w.key("shards", "", false)
	for _, s := range shards {
		w.nest("    ", func() {
			w.first = w.indent[:len(w.indent)-2] + "- "
			w.key("id", fmt.Sprint(s.ID), false)
			if len(s.Nodes) > 0 {
				w.key("nodes", "", false)
				for _, n := range s.Nodes {
					w.line(w.indent + "  - " + quote(n))
				}
			}
			if s.User != "" {
				w.key("user", quote(s.User), false)
			}
			w.secret("password", s.Password)
		})
	}
}

func (w *writer) control(c Control) {
	w.comment("How nodes are stopped and started when a cluster is restored: kolla, or command with three commands")
	w.comment("(stop, start, bootstrap) that sh runs on the node's host.")
	if c == (Control{Kind: "kolla"}) {
		w.key("control", "{ kind: kolla }", true)
		return
	}
	w.key("control", "", false)
	w.nest("  ", func() {
		w.key("kind", c.Kind, false)
		for _, k := range []struct{ key, value string }{
			{"kolla_ansible", c.KollaAnsible}, {"stop", c.Stop}, {"start", c.Start}, {"bootstrap", c.Bootstrap},
		} {
			if k.value != "" {
				w.key(k.key, quote(k.value), false)
			}
		}
	})
}

func (w *writer) secret(key string, ref SecretRef) { w.secretOr(key, ref, "") }

// secretOr writes where a secret comes from, else the example as a comment, else nothing.
func (w *writer) secretOr(key string, ref SecretRef, example string) {
	switch {
	case ref.File != "":
		w.key(key, "{ file: "+quote(ref.File)+" }", false)
	case ref.Command != "":
		w.key(key, "{ command: "+quote(ref.Command)+" }", false)
	case ref.KollaKey != "":
		w.key(key, "{ kolla_key: "+quote(ref.KollaKey)+" }", false)
	case example != "":
		w.key(key, example, true)
	}
}

var plain = regexp.MustCompile(`^[A-Za-z0-9/_.][A-Za-z0-9/_.:-]*[A-Za-z0-9/_.-]$`)

// quote writes s as YAML on one line, bare if it reads back as the same text.
func quote(s string) string {
	var doc yaml.Node
	if plain.MatchString(s) && yaml.Unmarshal([]byte(s), &doc) == nil && len(doc.Content) == 1 {
		if n := doc.Content[0]; n.ShortTag() == "!!str" && n.Value == s {
			return s
		}
	}
	out, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: s})
	if err != nil {
		panic(fmt.Sprintf("quote text for YAML: %v", err)) // a scalar always has a quoted form
	}
	return strings.TrimSuffix(string(out), "\n")
}

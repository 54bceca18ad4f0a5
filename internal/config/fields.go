package config

import (
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"holdfast/internal/secret"
)

// What stands in for keys that are not given.
const (
	DefaultState     = "/var/lib/holdfast"
	DefaultKolla     = "/etc/kolla"
	DefaultKeep      = 7 * Day
	DefaultReserve   = 0.10
	DefaultTolerate  = 0.10
	DefaultContainer = "mariadb"
)

const maxShard = 1023

func (d *decoder) config(n *yaml.Node) Config {
	c := Config{
		State: DefaultState,
		Kolla: Kolla{Config: DefaultKolla, Tolerate: DefaultTolerate},

		Promises: defaultPromises(),
		Notify:   defaultNotify(),
		Metrics:  Metrics{Listen: DefaultListen},
	}
	found := d.mapping(n, "",
		required("cloud", d.text(&c.Cloud, aName)),
		optional("state", d.path(&c.State)),
		optional("kit", d.path(&c.Kit)),
		required("tiers", list(d, &c.Tiers, d.tier)),
		optional("kolla", func(n *yaml.Node, at string) { d.kolla(&c.Kolla, n, at) }),
		optional("mariadb", func(n *yaml.Node, at string) { c.MariaDB = d.mariadb(n, at) }),
		optional("ceph", list(d, &c.Ceph, d.ceph)),
		optional("rbd", func(n *yaml.Node, at string) { c.RBD = d.rbd(n, at) }),
		optional("promises", d.promises(&c)),
		optional("notify", d.notify(&c.Notify)),
		optional("metrics", d.metrics(&c.Metrics)),
		optional("schedule", d.schedule(&c)),
		optional("serve", d.serve(&c)),
	)
	d.clusters(c, found)
	for _, check := range d.later {
		check(c)
	}
	d.checkPromises(c, found["promises"])
	if c.Kit == "" {
		c.Kit = filepath.Join(c.State, "kit")
	}
	if maria := found["mariadb"]; maria != nil && found["kolla"] == nil {
		d.fault(maria, "add kolla: with its inventory", "mariadb needs kolla.inventory to find its nodes")
	}
	return c
}

func (d *decoder) kolla(k *Kolla, n *yaml.Node, at string) {
	d.mapping(n, at,
		required("inventory", d.paths(&k.Inventory)),
		optional("config", d.path(&k.Config)),
		optional("vault_password", d.secret(&k.VaultPassword, "file", "command")),
		optional("tolerate", d.share(&k.Tolerate)),
	)
}

func (d *decoder) mariadb(n *yaml.Node, at string) *MariaDB {
	m := &MariaDB{
		Run: "container", Container: DefaultContainer, Enter: "auto",
		Admin:   defaultAdmin,
		Control: Control{Kind: "kolla"},
	}
	d.mapping(n, at,
		required("user", d.text(&m.User)),
		required("password", d.secret(&m.Password, "file", "command", "kolla_key")),
		optional("admin", func(n *yaml.Node, at string) { d.login(&m.Admin, n, at) }),
		optional("run", d.text(&m.Run, oneOf("container", "host"))),
		optional("container", d.text(&m.Container, aName)),
		optional("engine", d.text(&m.Engine, oneOf("docker", "podman"))),
		optional("enter", d.text(&m.Enter, oneOf("auto", "exec", "nsenter"))),
		optional("desync", d.flag(&m.Desync)),
		optional("shards", list(d, &m.Shards, d.shard)),
		optional("control", func(n *yaml.Node, at string) { d.control(&m.Control, n, at) }),
	)
	return m
}

// defaultAdmin is the account that Kolla gives every privilege.
var defaultAdmin = Login{User: "root", Password: SecretRef{KollaKey: "database_password"}}

func (d *decoder) login(l *Login, n *yaml.Node, at string) {
	*l = Login{}
	d.mapping(n, at,
		required("user", d.text(&l.User)),
		required("password", d.secret(&l.Password, "file", "command", "kolla_key")),
	)
}

func (d *decoder) shard(n *yaml.Node, at string) Shard {
	var s Shard
	found := d.mapping(n, at,
		required("id", d.number(&s.ID, maxShard, "shard")),
		optional("nodes", list(d, &s.Nodes, d.node)),
		optional("user", d.text(&s.User)),
		optional("password", d.secret(&s.Password, "file", "command", "kolla_key")),
	)
	if (found["user"] == nil) != (found["password"] == nil) {
		d.fault(n, "give both, or neither to use those of mariadb", "%s has only one of user and password", at)
	}
	return s
}

// node reads an inventory name; one that begins with a dash would be taken for an option by ssh.
func (d *decoder) node(n *yaml.Node, at string) (name string) {
	d.text(&name, func(_ *yaml.Node, text string) (wrong, hint string) {
		if strings.HasPrefix(text, "-") || strings.ContainsAny(text, " \t\r\n/") {
			return "not the name of a host", "use the name that the inventory gives it"
		}
		return "", ""
	})(n, at)
	return name
}

func (d *decoder) control(c *Control, n *yaml.Node, at string) {
	found := d.mapping(n, at,
		optional("kind", d.text(&c.Kind, oneOf("kolla", "command"))),
		optional("kolla_ansible", d.program(&c.KollaAnsible)),
		optional("stop", d.text(&c.Stop)),
		optional("start", d.text(&c.Start)),
		optional("bootstrap", d.text(&c.Bootstrap)),
	)
	for _, key := range []string{"stop", "start", "bootstrap"} {
		switch {
		case c.Kind == "command" && found[key] == nil:
			d.fault(n, "kind command needs stop, start and bootstrap", "%s is missing", join(at, key))
		case c.Kind == "kolla" && found[key] != nil:
			d.fault(found[key], "add kind: command", "%s is used only with kind: command", join(at, key))
		}
	}
}

// program reads the name of a program, looked for in PATH when it has no slash.
func (d *decoder) program(dst *string) reader {
	return func(n *yaml.Node, at string) {
		d.text(dst)(n, at)
		if strings.Contains(*dst, "/") {
			*dst = d.abs(*dst)
		}
	}
}

// secret reads where a secret comes from: exactly one of the given ways. What stands there is never repeated, since a
// password written into the wrong place is one still.
func (d *decoder) secret(dst *secret.Ref, ways ...string) reader {
	example := "write {" + ways[0] + ": …}; secrets never stand in the configuration itself"
	return func(n *yaml.Node, at string) {
		n = resolve(n)
		if n.Kind != yaml.MappingNode {
			d.fault(n, example, "%s must say where the secret is, with %s", at, strings.Join(ways, " or "))
			return
		}
		all := []field{
			optional("file", d.path(&dst.File)),
			optional("command", d.text(&dst.Command)),
			optional("kolla_key", d.text(&dst.KollaKey, aName)),
		}
		found := d.mapping(n, at, all[:len(ways)]...)
		switch {
		case len(n.Content) == 0:
			d.fault(n, example, "%s must have one of %s", at, strings.Join(ways, ", "))
		case len(found) > 1:
			d.fault(n, "keep one of them", "%s has more than one of %s", at, strings.Join(ways, ", "))
		}
	}
}

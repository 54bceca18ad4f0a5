package cli

import (
	"context"
	"slices"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/config"
	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
	"holdfast/internal/source"
	"holdfast/internal/source/ceph"
	"holdfast/internal/source/kolla"
	"holdfast/internal/source/mariadb"
	"holdfast/internal/source/rbd"
	"holdfast/internal/vault"
	"holdfast/internal/verify"
)

// sourceNames are the sources there are, in the order in which they are told.
var sourceNames = []string{mariadb.SourceName, kolla.SourceName, ceph.SourceName, rbd.SourceName}

// cloud is the cloud as it is described today: where its hosts are and what opens them.
type cloud struct {
	cfg       *config.Config
	inv       *inventory.Inventory
	globals   *inventory.Globals
	passwords *inventory.Passwords
	vaultPass secret.Secret // opens what ansible-vault encrypted; empty when not configured
}

// loadCloud reads the inventory and the deploy host's configuration.
func (a *app) loadCloud(ctx context.Context, cfg *config.Config) (*cloud, error) {
	c := &cloud{cfg: cfg}
	if !cfg.Kolla.VaultPassword.IsZero() {
		var err error
		c.vaultPass, err = secret.Resolve(ctx, cfg.Kolla.VaultPassword, secret.Options{What: "ansible-vault password", Warn: a.warn})
		if err != nil {
			return nil, err
		}
	}
	var err error
	c.inv, err = inventory.Load(ctx, host.Local{}, inventory.Options{Paths: cfg.Kolla.Inventory, VaultPassword: c.vaultPass})
	if err != nil {
		return nil, err
	}
	c.globals, err = inventory.LoadGlobals(ctx, host.Local{}, cfg.Kolla.Config)
	if err != nil {
		return nil, err
	}
	c.passwords = inventory.NewPasswords(host.Local{}, cfg.Kolla.Config, c.vaultPass)
	return c, nil
}

// resolve fetches a secret that may stand in Kolla's passwords.yml.
func (a *app) resolve(ctx context.Context, c *cloud, ref config.SecretRef, what string) (secret.Secret, error) {
	return secret.Resolve(ctx, ref, secret.Options{What: what, KollaKey: c.passwords.Password, Prompt: a.prompt(false), Warn: a.warn})
}

// configured names the sources that the configuration has.
func configured(cfg *config.Config) []string { return cfg.Sources() }

// setup is what sources are set up from.
type setup struct {
	cfg       *config.Config
	v         *vault.Vault                  // tells what earlier points hold
	described func() (*cloud, error)        // the cloud as it is described today
	maps      []func() (cephcmd.Map, error) // of the configured Ceph clusters, in their order
	chosen    []string
	limit     int64 // bytes of images that are read in a second; 0 is no limit
}

// sources sets the chosen sources up.
func (a *app) sources(ctx context.Context, from setup) ([]source.Source, error) {
	if !slices.ContainsFunc(from.chosen, withoutInventory) { // else what needs none is captured all the same
		if _, err := from.described(); err != nil {
			return nil, err
		}
	}
	var out []source.Source
	for _, name := range from.chosen {
		s, err := a.withRoom(ctx, from, name)
		if err != nil {
			s = unavailable{name, problem.Wrap(err, "set up source", name)}
		}
		out = append(out, s)
	}
	return out, nil
}

// withoutInventory reports whether a source does not need the cloud's inventory.
func withoutInventory(name string) bool { return name == ceph.SourceName || name == rbd.SourceName }

// unavailable is a source that could not be set up. Its plan fails, so that the point says what is missing while the
// other sources are captured.
type unavailable struct {
	name string
	err  error
}

func (u unavailable) Name() string { return u.name }

func (u unavailable) Plan(context.Context) (source.Plan, error) { return source.Plan{}, u.err }

func (u unavailable) Capture(context.Context, source.Task, source.Sink) (source.Outcome, error) {
	return source.Outcome{}, u.err
}

func (a *app) source(ctx context.Context, from setup, name string) (source.Source, error) {
	switch name {
	case ceph.SourceName:
		return a.ceph(from)
	case rbd.SourceName:
		return a.rbd(from)
	}
	c, err := from.described()
	if err != nil {
		return nil, err
	}
	if name == kolla.SourceName {
		return kolla.New(c.kollaOptions(a.env.Now)), nil
	}
	return a.mariadb(ctx, c, from.v)
}

func (a *app) mariadb(ctx context.Context, c *cloud, v *vault.Vault) (source.Source, error) {
	shards, err := a.shards(ctx, c)
	if err != nil {
		return nil, err
	}
	findings, err := verify.Record{Dir: c.cfg.State}.Findings()
	if err != nil {
		return nil, err
	}
	h := history{v, findings}
	return mariadb.New(mariadb.Options{
		Shards: shards, Desync: c.cfg.MariaDB.Desync, Now: a.env.Now, Held: h.held, Previous: h.previous,
	}), nil
}

func (c *cloud) kollaOptions(now func() time.Time) kolla.Options {
	return kolla.Options{
		Inventory: c.inv, Globals: c.globals, Passwords: c.passwords, Deploy: host.Local{}, Config: c.cfg.Kolla.Config,
		Tolerate: c.cfg.Kolla.Tolerate, Now: now,
	}
}

// shards are the Galera clusters of today's inventory, with what holdfast.yml says of them.
func (a *app) shards(ctx context.Context, c *cloud) ([]mariadb.Shard, error) {
	found, err := c.inv.Shards()
	if err != nil {
		return nil, err
	}
	var shards []mariadb.Shard
	for _, f := range found {
		override := c.override(f.ID)
		user, ref := c.cfg.MariaDB.User, c.cfg.MariaDB.Password
		if override.User != "" {
			user, ref = override.User, override.Password
		}
		password, err := a.resolve(ctx, c, ref, "password of database user "+user)
		if err != nil {
			return nil, err
		}
		s := mariadb.Shard{ID: f.ID, User: user, Password: password}
		for _, h := range f.Hosts {
			if len(override.Nodes) > 0 && !slices.Contains(override.Nodes, h.Name) {
				continue
			}
			n, err := c.node(h)
			if err != nil {
				return nil, err
			}
			s.Nodes = append(s.Nodes, n)
		}
		shards = append(shards, s)
	}
	return shards, nil
}

func (c *cloud) override(shard int) config.Shard {
	for _, s := range c.cfg.MariaDB.Shards {
		if s.ID == shard {
			return s
		}
	}
	return config.Shard{}
}

// node is a database server on a host of the inventory: in its container, or on the machine itself.
func (c *cloud) node(h *inventory.Host) (mariadb.Node, error) {
	machine, err := h.Connect()
	if err != nil {
		return mariadb.Node{}, err
	}
	m := c.cfg.MariaDB
	if m.Run == "host" {
		return mariadb.Node{Name: h.Name, Host: machine}, nil
	}
	engine := m.Engine
	if engine == "" {
		engine = c.globals.Engine()
	}
	return mariadb.Node{
		Name:   h.Name,
		Host:   host.Container{On: machine, Engine: engine, Name: m.Container, Enter: m.Enter},
		Engine: &mariadb.Engine{Host: machine, Command: engine, Container: m.Container},
	}, nil
}

// history answers what earlier points of a vault hold; without a vault, nothing.
type history struct {
	vault    *vault.Vault
	findings verify.Findings
}

// held names the newest point with a good copy of a component, if all of that copy is still in the vault and no
// verification found damage in its point. A copy that is not beyond doubt is taken anew, which also mends its pieces.
func (h history) held(ctx context.Context, component string) string {
	p, _ := h.newest(ctx, component)
	if p.ID == "" || h.findings[p.ID].Damaged > 0 {
		return ""
	}
	r, err := h.vault.Verify(ctx, p.ID, vault.VerifyOptions{Depth: vault.Structure})
	if err != nil || len(r.Damaged) > 0 {
		return ""
	}
	return p.ID
}

// previous names the host that the newest good copy of a component came from.
func (h history) previous(ctx context.Context, component string) string {
	_, c := h.newest(ctx, component)
	return c.Host
}

// newest finds the last good copy of a component of mariadb; a vault that cannot be read has none, and the run that
// asked meets the same trouble when it writes.
func (h history) newest(ctx context.Context, name string) (point.Point, point.Component) {
	if h.vault == nil {
		return point.Point{}, point.Component{}
	}
	points, err := h.vault.Points(ctx)
	if err != nil {
		return point.Point{}, point.Component{}
	}
	for _, p := range slices.Backward(points) {
		if c, ok := p.Component(mariadb.SourceName, name); ok && c.State == point.Good {
			return p, c
		}
	}
	return point.Point{}, point.Component{}
}

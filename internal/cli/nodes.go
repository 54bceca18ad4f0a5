package cli

import (
	"cmp"
	"context"
	"os/exec"

	"holdfast/internal/control"
	"holdfast/internal/host"
	"holdfast/internal/restore"
	"holdfast/internal/source/mariadb"
)

// clusterNodes are all nodes of a shard that the inventory has, with the machines they run on: also those that backups
// do not read from, since a node that a restore leaves out comes back with the old data.
func (c *cloud) clusterNodes(shard int) ([]restore.ClusterNode, error) {
	shards, err := c.inv.Shards()
	if err != nil {
		return nil, err
	}
	var nodes []restore.ClusterNode
	for _, s := range shards {
		if s.ID != shard {
			continue
		}
		for _, h := range s.Hosts {
			server, err := c.node(h)
			if err != nil {
				return nil, err
			}
			machine, err := h.Connect()
			if err != nil {
				return nil, err
			}
			nodes = append(nodes, restore.ClusterNode{Node: control.Node{Name: h.Name, Machine: machine}, Server: server})
		}
	}
	return nodes, nil
}

// admin is the login of the account that may write to every schema.
func (a *app) admin(ctx context.Context, c *cloud) (mariadb.Login, error) {
	l := c.cfg.MariaDB.Admin
	password, err := a.resolve(ctx, c, l.Password, "password of database user "+l.User)
	return mariadb.Login{User: l.User, Password: password}, err
}

// control is what drives the database nodes.
func (c *cloud) control() control.Control {
	m := c.cfg.MariaDB
	if m.Control.Kind == "command" {
		return control.Command{StopCommand: m.Control.Stop, StartCommand: m.Control.Start, BootstrapCommand: m.Control.Bootstrap}
	}
	engine := m.Engine
	if engine == "" {
		engine = c.globals.Engine()
	}
	k := control.Kolla{
		Engine: engine, Container: m.Container, ConfigDir: c.globals.NodeConfig(), Inventory: c.cfg.Kolla.Inventory, Deploy: host.Local{},
	}
	if path, err := exec.LookPath(c.kollaAnsible()); err == nil {
		k.Ansible = []string{path}
	}
	return k
}

// kollaAnsible is the command that would drive the nodes, if it is there.
func (c *cloud) kollaAnsible() string {
	return cmp.Or(c.cfg.MariaDB.Control.KollaAnsible, "kolla-ansible")
}

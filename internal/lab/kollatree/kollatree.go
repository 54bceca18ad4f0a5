// Package kollatree writes what a Kolla-Ansible deployment leaves on disk: the deploy host's configuration with its
// passwords and certificates, an inventory, and on every host the rendered service configuration and the docker
// volumes that hold state outside the database. Secrets are drawn anew in every run and open nothing but the lab.
package kollatree

import (
	"fmt"
	"maps"
	"slices"
)

// Spec says what to write and where.
type Spec struct {
	Cloud        string // name of the region's operator, for comments and certificates
	FSID         string // of the Ceph cluster; "" draws one
	Hosts        []HostSpec
	DeployDir    string            // the deploy host's /etc/kolla; "" is DIR/deploy/kolla
	InventoryDir string            // gets multinode, group_vars and host_vars; "" is DIR/deploy/inventory
	Passwords    map[string]string // keys of passwords.yml whose value is given, or added to it
	Globals      map[string]string // settings added to globals.d/lab.yml
}

// HostSpec is one host.
type HostSpec struct {
	Name      string
	Addr      string // ansible_host
	Port      int    // ansible_port
	User      string // ansible_user
	KeyFile   string // ansible_ssh_private_key_file
	SSHArgs   string // ansible_ssh_common_args
	Groups    []string
	Vars      map[string]string // further host variables
	ComputeID string            // identity of a hypervisor in nova's database; "" draws one

	EtcKolla   string            // the host's /etc/kolla; "" writes none
	VolumesDir string            // the host's docker volumes; "" writes none
	Files      map[string]string // files below EtcKolla with given content, such as mariadb/galera.cnf
}

// Tree is what was written.
type Tree struct {
	Passwords map[string]string // of passwords.yml, without the key pairs
	Globals   string            // path of globals.yml
	Inventory string            // path of the inventory file
	RootCA    string            // path of the certificate that all others are signed by
	Ignored   []string          // paths of what a backup leaves out: logs, pid files, sockets
	Odd       []string          // paths of what careless tools lose: links, attributes, names
	Lacking   []string          // what the file system or the user could not do, such as owners without root
}

// Write writes the deployment below dir.
func Write(dir string, s Spec) (Tree, error) {
	s = s.withDefaults(dir)
	w := &writer{spec: s}
	w.makePasswords()
	w.deploy()
	w.certificates()
	w.inventory()
	for i, h := range s.Hosts {
		if h.EtcKolla != "" {
			w.services(h)
			if i == 0 {
				w.oddities(h.EtcKolla + "/horizon/custom")
			}
		}
		if h.VolumesDir != "" {
			w.volumes(h)
		}
	}
	if w.err != nil {
		return Tree{}, fmt.Errorf("write kolla tree: %w", w.err)
	}
	w.tree.Passwords = w.passwords
	slices.Sort(w.tree.Lacking)
	w.tree.Lacking = slices.Compact(w.tree.Lacking)
	return w.tree, nil
}

func (s Spec) withDefaults(dir string) Spec {
	if s.Cloud == "" {
		s.Cloud = "lab"
	}
	if s.FSID == "" {
		s.FSID = uuid()
	}
	if s.DeployDir == "" {
		s.DeployDir = dir + "/deploy/kolla"
	}
	if s.InventoryDir == "" {
		s.InventoryDir = dir + "/deploy/inventory"
	}
	return s
}

// in returns the names of the hosts in a group, in the order of the inventory.
func (s Spec) in(group string) []string {
	var names []string
	for _, h := range s.Hosts {
		if slices.Contains(h.Groups, group) {
			names = append(names, h.Name)
		}
	}
	return names
}

// groups are the names of the groups that hosts name, sorted.
func (s Spec) groups() []string {
	all := map[string]bool{}
	for _, h := range s.Hosts {
		for _, g := range h.Groups {
			all[g] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

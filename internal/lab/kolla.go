package lab

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"holdfast/internal/secret"
)

// services are the OpenStack services with an account of their own, each with the schemas it owns.
var services = []struct {
	user    string
	schemas []string
}{
	{"keystone", []string{"keystone"}},
	{"glance", []string{"glance"}},
	{"cinder", []string{"cinder"}},
	{"nova", []string{"nova", "nova_api", "nova_cell0"}},
	{"neutron", []string{"neutron"}},
}

// writeKolla writes the deploy host's configuration, the inventory and every host's /etc/kolla.
func (l *Lab) writeKolla(context.Context) error {
	l.rootPassword = secret.New(rand.Text())
	if err := l.put("secrets/mariadb-root", 0o600, l.rootPassword.Reveal()); err != nil {
		return err
	}
	var pw strings.Builder
	fmt.Fprintf(&pw, "database_password: %s\n", l.rootPassword.Reveal())
	for _, key := range []string{"mariadb_backup_database_password", "keystone_database_password"} {
		fmt.Fprintf(&pw, "%s: %s\n", key, rand.Text())
	}
	if err := l.put("deploy/kolla/passwords.yml", 0o600, pw.String()); err != nil {
		return err
	}
	if err := l.put("deploy/kolla/globals.yml", 0o644, "kolla_base_distro: debian\nenable_mariabackup: \"yes\"\n"); err != nil {
		return err
	}
	return l.put("deploy/inventory/multinode", 0o644, l.inventory())
}

func (l *Lab) inventory() string {
	var b strings.Builder
	groups := map[string][]string{}
	for _, h := range l.Hosts {
		for _, g := range h.Groups {
			groups[g] = append(groups[g], h.Name)
		}
	}
	for _, s := range l.Shards {
		for _, n := range s.Nodes {
			groups["mariadb"] = append(groups["mariadb"], n.Host)
		}
	}
	for name, hosts := range groups {
		fmt.Fprintf(&b, "[%s]\n", name)
		for _, h := range hosts {
			fmt.Fprintf(&b, "%s %s\n", h, l.hostVars(h))
		}
	}
	return b.String()
}

func (l *Lab) hostVars(name string) string {
	h, err := l.Host(name)
	if err != nil {
		return ""
	}
	vars := fmt.Sprintf("ansible_host=127.0.0.1 ansible_port=%d ansible_user=%s ansible_ssh_private_key_file=%s "+
		"ansible_ssh_common_args='-o UserKnownHostsFile=%s -o StrictHostKeyChecking=yes'", h.Port, l.SSHUser, l.KeyFile, l.KnownHosts)
	if n, err := l.Node(name); err == nil {
		vars += fmt.Sprintf(" mariadb_port=%d mariadb_wsrep_port=%d mariadb_ist_port=%d mariadb_sst_port=%d mariadb_shard_id=%d",
			n.SQLPort, n.GaleraPort, n.GaleraPort+1, n.GaleraPort+2, n.Shard)
	}
	return vars
}

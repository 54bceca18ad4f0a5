package lab

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"strconv"

	"holdfast/internal/lab/kollatree"
	"holdfast/internal/lab/schema"
	"holdfast/internal/secret"
)

// writeKolla writes the deploy host's configuration, the inventory and what Kolla leaves on every host. Names and
// identities agree with the rows in the database.
func (l *Lab) writeKolla(context.Context) error {
	l.rootPassword = secret.New(rand.Text())
	cloud := schema.Generate(l.rows(0))
	spec := kollatree.Spec{
		Cloud: "lab",
		FSID:  cloud.FSID,
		Passwords: map[string]string{
			rootPasswordKey:          l.rootPassword.Reveal(),
			"cinder_rbd_secret_uuid": cloud.Secret,
		},
		Globals: map[string]string{"enable_mariabackup": "yes"},
	}
	if l.Options.Podman {
		spec.Globals["kolla_container_engine"] = "podman"
	}
	for _, h := range l.Hosts {
		hs, err := l.hostSpec(h)
		if err != nil {
			return err
		}
		for _, c := range cloud.Computes {
			if c.Host == h.Name {
				hs.ComputeID = c.UUID
			}
		}
		spec.Hosts = append(spec.Hosts, hs)
	}
	tree, err := kollatree.Write(l.Options.Dir, spec)
	l.Kolla = tree
	return err
}

// rootPasswordKey is where Kolla keeps the password of the database's root.
const rootPasswordKey = "database_password"

// rows are the options of the rows in shard id: the same cloud everywhere, with other tenants.
func (l *Lab) rows(id int) schema.Options {
	o := schema.Options{Seed: l.Options.Seed, Scale: l.Options.Rows}
	for _, h := range l.Hosts {
		if h.Groups[0] == "compute" {
			o.Computes = append(o.Computes, h.Name)
		}
	}
	if id == 0 {
		return o
	}
	cloud := schema.Generate(o)
	o.Seed, o.FSID, o.Secret = o.Seed+int64(id), cloud.FSID, cloud.Secret
	return o
}

func (l *Lab) hostSpec(h Host) (kollatree.HostSpec, error) {
	dir := l.HostDir(h.Name)
	hs := kollatree.HostSpec{
		Name: h.Name, Addr: "127.0.0.1", Port: h.Port, User: h.User, KeyFile: l.KeyFile, Groups: h.Groups,
		SSHArgs:    "-o UserKnownHostsFile=" + l.KnownHosts + " -o StrictHostKeyChecking=yes",
		EtcKolla:   filepath.Join(dir, "etc/kolla"),
		VolumesDir: filepath.Join(dir, l.volumes()),
	}
	n, err := l.Node(h.Name)
	if err != nil {
		return hs, nil // no database here
	}
	hs.Vars = map[string]string{
		"mariadb_port": strconv.Itoa(n.SQLPort), "mariadb_wsrep_port": strconv.Itoa(n.GaleraPort),
		"mariadb_ist_port": strconv.Itoa(n.GaleraPort + 1), "mariadb_sst_port": strconv.Itoa(n.GaleraPort + 2),
		"mariadb_shard_id": strconv.Itoa(n.Shard),
	}
	galera, err := l.myCnf(n)
	hs.Files = map[string]string{"mariadb/galera.cnf": galera}
	return hs, err
}

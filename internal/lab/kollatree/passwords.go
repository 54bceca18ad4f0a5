package kollatree

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// passwordKeys are the keys of passwords.yml whose value is a password; those that end in _uuid or _id hold a UUID.
var passwordKeys = []string{
	"aodh_database_password", "barbican_crypto_key", "barbican_database_password", "barbican_keystone_password",
	"cinder_database_password", "cinder_keystone_password", "cinder_rbd_secret_uuid", "database_password",
	"designate_pool_id", "designate_rndc_key", "etcd_cluster_token", "glance_database_password", "glance_keystone_password",
	"gnocchi_project_id", "gnocchi_resource_id", "gnocchi_user_id", "grafana_admin_password", "grafana_database_password",
	"haproxy_password", "heat_database_password", "heat_domain_admin_password", "heat_keystone_password",
	"horizon_database_password", "horizon_secret_key", "keepalived_password", "keystone_admin_password",
	"keystone_database_password", "keystone_federation_openid_crypto_password", "libvirt_sasl_password",
	"manila_database_password", "manila_keystone_password", "mariadb_backup_database_password", "mariadb_monitor_password",
	"memcache_secret_key", "metadata_secret", "neutron_database_password", "neutron_keystone_password",
	"nova_api_database_password", "nova_database_password", "nova_keystone_password", "octavia_ca_password",
	"octavia_client_ca_password", "octavia_database_password", "octavia_keystone_password", "opensearch_dashboards_password",
	"osprofiler_secret", "placement_database_password", "placement_keystone_password", "prometheus_mysql_exporter_database_password",
	"proxysql_admin_password", "proxysql_stats_password", "rabbitmq_cluster_cookie", "rabbitmq_monitoring_password",
	"rabbitmq_password", "rbd_secret_uuid", "redis_master_password", "skyline_secret_key", "telemetry_secret_key",
	"valkey_master_password", "zun_database_password",
}

// unsetKeys are there and empty, as in a deployment that does not use them.
var unsetKeys = []string{"docker_registry_password", "ceph_rgw_keystone_password", "vmware_vcenter_host_password"}

// pairNames are the keys of passwords.yml that hold an ssh key pair.
var pairNames = []string{"bifrost_ssh_key", "haproxy_ssh_key", "keystone_ssh_key", "kolla_ssh_key", "neutron_ssh_key", "nova_ssh_key", "octavia_amp_ssh_key"}

type keyPair struct{ private, public string }

// makePasswords draws every secret.
func (w *writer) makePasswords() {
	w.passwords, w.keys = map[string]string{}, map[string]keyPair{}
	for _, k := range passwordKeys {
		if strings.HasSuffix(k, "_uuid") || strings.HasSuffix(k, "_id") {
			w.passwords[k] = uuid()
		} else {
			w.passwords[k] = password()
		}
	}
	for _, k := range unsetKeys {
		w.passwords[k] = ""
	}
	maps.Copy(w.passwords, w.spec.Passwords)
	for _, name := range pairNames {
		w.do("make ssh key", func() (err error) {
			w.keys[name], err = newKeyPair(name)
			return err
		})
	}
}

// passwordsYAML is passwords.yml as kolla-genpwd leaves it: sorted, one key a line, key pairs in blocks.
func (w *writer) passwordsYAML() string {
	lines := map[string]string{}
	for k, v := range w.passwords {
		lines[k] = strings.TrimRight(k+": "+v, " ") + "\n"
	}
	for k, pair := range w.keys {
		private := strings.ReplaceAll(strings.TrimSpace(pair.private), "\n", "\n    ")
		lines[k] = fmt.Sprintf("%s:\n  private_key: |\n    %s\n  public_key: %s\n", k, private, pair.public)
	}
	var b strings.Builder
	b.WriteString("---\n# Written by kolla-genpwd; keep this file secret.\n")
	for _, k := range slices.Sorted(maps.Keys(lines)) {
		b.WriteString(lines[k])
	}
	return b.String()
}

// password is 40 letters and digits, as kolla-genpwd makes them.
func password() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, 40)
	for len(out) < 40 {
		for _, b := range randomBytes(40) {
			if int(b) < 256/len(alphabet)*len(alphabet) && len(out) < 40 { // every character equally likely
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the program instead
	return b
}

func uuid() string {
	b := randomBytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func newKeyPair(comment string) (keyPair, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return keyPair{}, err
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		return keyPair{}, err
	}
	authorized := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line)))
	return keyPair{string(pem.EncodeToMemory(block)), authorized + " " + comment}, nil
}

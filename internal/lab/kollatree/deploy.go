package kollatree

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// deploy writes the deploy host's own files: globals, passwords and the operator's overrides.
func (w *writer) deploy() {
	dir := w.spec.DeployDir
	w.dir(dir, 0o755, root)
	w.tree.Globals = dir + "/globals.yml"
	w.file(w.tree.Globals, 0o644, root, globalsYAML)
	w.file(dir+"/globals.d/ceph.yml", 0o644, root, cephGlobals)
	w.file(dir+"/globals.d/octavia.yml", 0o640, root, octaviaGlobals)
	w.file(dir+"/globals.d/README", 0o644, root, "Only *.yml is read.\n")
	if len(w.spec.Globals) > 0 {
		w.file(dir+"/globals.d/lab.yml", 0o644, root, yaml(w.spec.Globals))
	}
	w.file(dir+"/passwords.yml", 0o600, root, w.passwordsYAML())
	w.file(dir+"/admin-openrc.sh", 0o600, root, w.openrc())
	w.file(dir+"/kolla-build.conf", 0o644, root, "[DEFAULT]\nbase = debian\nnamespace = openstack.kolla\n# tag = 2025.1\n")
	w.overrides(dir + "/config")
	w.dir(dir+"/config/heat", 0o755, root)
	w.symlink("globals.yml", dir+"/globals.current.yml")
	w.ignored(dir+"/ansible.log", root, "PLAY RECAP\n")
}

// overrides writes the operator's custom configuration, which Kolla merges into what it renders.
func (w *writer) overrides(dir string) {
	ceph := w.cephConf()
	for path, text := range map[string]string{
		"nova.conf":                           "[DEFAULT]\n# overcommit, agreed with \"capacity\"\ncpu_allocation_ratio = 4.0\n",
		"nova/nova-compute.conf":              "[libvirt]\nnum_pcie_ports = 24\n",
		"neutron/ml2_conf.ini":                "[ml2]\ntype_drivers = flat,vlan,vxlan\n\n[ml2_type_vlan]\nnetwork_vlan_ranges = physnet1:100:199\n",
		"cinder/cinder-volume.conf":           "[rbd-1]\nrbd_flatten_volume_from_snapshot = false\n",
		"cinder/cinder-volume/ceph.conf":      ceph,
		"cinder/cinder-backup/ceph.conf":      ceph,
		"glance/ceph.conf":                    ceph,
		"nova/ceph.conf":                      ceph,
		"galera.cnf":                          "[mysqld]\nmax_connections = 4000\n",
		"backup.my.cnf":                       "[mariabackup]\nparallel = 2\n",
		"haproxy/services.d/intranet.cfg":     "listen intranet\n  bind 192.0.2.10:8443\n",
		"horizon/_9999-custom-settings.py":    "SITE_BRANDING = 'Größe & Co'\n",
		"keystone/domains/keystone.corp.conf": "[identity]\ndriver = ldap\n",
	} {
		w.file(dir+"/"+path, 0o644, root, text)
	}
	for path, user := range map[string]string{
		"glance/ceph.client.glance.keyring":                      "glance",
		"cinder/cinder-volume/ceph.client.cinder.keyring":        "cinder",
		"cinder/cinder-backup/ceph.client.cinder.keyring":        "cinder",
		"cinder/cinder-backup/ceph.client.cinder-backup.keyring": "cinder-backup",
		"nova/ceph.client.cinder.keyring":                        "cinder",
	} {
		w.file(dir+"/"+path, 0o640, root, "[client."+user+"]\n\tkey = "+cephKey()+"\n")
	}
}

// cephKey has the form of a CephX secret: type, time, length, 16 random bytes.
func cephKey() string {
	b := binary.LittleEndian.AppendUint16(nil, 1)
	b = binary.LittleEndian.AppendUint64(b, 1709281800)
	b = binary.LittleEndian.AppendUint16(b, 16)
	return base64.StdEncoding.EncodeToString(append(b, randomBytes(16)...))
}

func (w *writer) cephConf() string {
	return fmt.Sprintf("# minimal ceph.conf for %s\n[global]\nfsid = %s\nmon_host = 192.0.2.11,192.0.2.12,192.0.2.13\n", w.spec.Cloud, w.spec.FSID)
}

func (w *writer) openrc() string {
	return "# Ansible managed\n" +
		"for key in $( set | awk -F= '/^OS_/ {print $1}' ); do unset \"$key\" ; done\n" +
		"export OS_PROJECT_DOMAIN_NAME='Default'\nexport OS_USER_DOMAIN_NAME='Default'\nexport OS_PROJECT_NAME='admin'\n" +
		"export OS_USERNAME='admin'\nexport OS_PASSWORD='" + w.passwords["keystone_admin_password"] + "'\n" +
		"export OS_AUTH_URL='https://internal.example.org:5000'\nexport OS_INTERFACE='internal'\nexport OS_REGION_NAME='RegionOne'\n"
}

// yaml renders plain settings.
func yaml(settings map[string]string) string {
	var b strings.Builder
	b.WriteString("---\n")
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s: %q\n", k, settings[k])
	}
	return b.String()
}

const globalsYAML = `---
# Settings of this deployment; see the role defaults for all of them.
workaround_ansible_issue_8743: yes

###############
# Kolla options
###############
kolla_base_distro: "debian"
openstack_release: "2025.1"
#openstack_tag: "2025.1-debian-bookworm"
#node_config: "/etc/kolla"
node_custom_config: "{{ node_config }}/config"
kolla_container_engine: "docker"

# The VIP; not an address of any host.
kolla_internal_vip_address: "192.0.2.10"
kolla_internal_fqdn: "internal.example.org"
kolla_external_vip_address: "198.51.100.10"
kolla_external_fqdn: "public.example.org"
network_interface: "bond0"
neutron_external_interface: "bond1"

kolla_enable_tls_internal: "yes"
kolla_enable_tls_external: "yes"
kolla_enable_tls_backend: "yes"
kolla_copy_ca_into_containers: "yes"

enable_mariabackup: "yes"
enable_proxysql: "yes"
enable_cinder: "yes"
enable_cinder_backup: "yes"
enable_barbican: "yes"
enable_heat: "yes" # kept for the intranet stacks
enable_octavia: "yes"
`

const cephGlobals = `---
cinder_backend_ceph: "yes"
glance_backend_ceph: "yes"
nova_backend_ceph: "yes"
ceph_glance_pool_name: "images"
ceph_cinder_pool_name: "volumes"
ceph_nova_pool_name: "vms"
cinder_ceph_backends:
  - name: "rbd-1"
    cluster: "ceph"
    enabled: "{{ cinder_backend_ceph | bool }}"
`

const octaviaGlobals = `---
octavia_provider_drivers: "amphora:Amphora provider"
octavia_amp_flavor:
  name: "amphora"
  is_public: no
  vcpus: 1
`

package kolla

import (
	"path"
	"strings"
)

// item is one piece of state on a host that lies in files. What exists is captured, what does not is simply absent,
// so the whole list serves every host.
type item struct {
	what string // what it is, for the reader of this list
	// path is a glob: absolute, or below the engine's volumes ("volume/path" inside the volume, "" for all of it).
	path string
	// setting is the Kolla variable that may name another volume or an absolute directory instead of path's first part.
	setting string
}

// items is the state of a Kolla host that no playbook brings back, beside its configuration directory. The next one
// is one line.
var items = []item{
	{what: "keystone's token keys", path: "keystone_fernet_tokens"},
	{what: "keystone's credential keys, where somebody keeps them in a volume", path: "keystone_credential*"},
	{what: "barbican's local store", path: "barbican"},
	{what: "the identity under which nova knows a compute host", path: "nova_compute/compute_id", setting: "nova_instance_datadir_volume"},
	{what: "definitions of the virtual machines", path: "nova_libvirt_qemu"},
	{what: "libvirt's secrets", path: "nova_libvirt_secrets"},
	{what: "libvirt's secrets, networks and state", path: "libvirtd/secrets"},
	{what: "state of virtual TPMs", path: "libvirtd/swtpm"},
	{what: "UEFI variables of the virtual machines", path: "libvirtd/qemu/nvram"},
	{what: "octavia's provider state", path: "octavia_driver_agent"},
	{what: "ACME accounts and certificates", path: "letsencrypt*"},
	{what: "manila's share state", path: "manila_share"},
	{what: "magnum's certificates", path: "magnum"},
	{what: "trove's state", path: "trove"},
	{what: "tacker's packages", path: "kolla_tacker_*"},
	{what: "masakari's state", path: "masakari"},
	{what: "zones served by bind", path: "designate_backend_bind9"},
	{what: "ironic's leases", path: "ironic_dhcp_hosts"},
	{what: "the seed's deployment configuration", path: "bifrost_config"},
	{what: "the seed's certificates", path: "bifrost_certs"},
	{what: "fencing and quorum configuration", path: "hacluster_*"},
	{what: "grafana's own state", path: "grafana"},
	{what: "names the host resolves itself", path: "/etc/hosts"},
	{what: "identity of the host", path: "/etc/machine-id"},
	{what: "the container engine's configuration", path: "/etc/docker/daemon.json"},
	{what: "the container engine's configuration", path: "/etc/containers/*.conf"},
	{what: "units that start the containers", path: "/etc/systemd/system/kolla-*"},
	{what: "network configuration", path: "/etc/netplan"},
	{what: "network configuration", path: "/etc/network/interfaces*"},
	{what: "network configuration", path: "/etc/NetworkManager/system-connections"},
	{what: "network configuration", path: "/etc/systemd/network"},
}

// leftOut are volumes that hold data of the cloud's users, which a configuration copy does not carry: a host that has
// one says so.
var leftOut = []item{
	{what: "images in files (glance's file store)", path: "glance/images/*", setting: "glance_file_datadir_volume"},
	{what: "disks of virtual machines on this host", path: "nova_compute/instances/*-*-*-*-*", setting: "nova_instance_datadir_volume"},
	{what: "deployment images of ironic", path: "ironic_httpboot/*"},
}

// in returns the glob of the item on a host whose volumes lie in volumes; value looks a Kolla variable up.
func (i item) in(volumes string, value func(name string) (string, bool)) string {
	if path.IsAbs(i.path) {
		return i.path
	}
	volume, inside, _ := strings.Cut(i.path, "/")
	if other, ok := value(i.setting); ok && other != "" {
		volume = other
	}
	if path.IsAbs(volume) {
		return path.Join(volume, inside)
	}
	return path.Join(volumes, volume, "_data", inside)
}

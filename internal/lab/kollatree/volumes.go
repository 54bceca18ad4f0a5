package kollatree

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// volumes writes the docker volumes that hold state outside the database.
func (w *writer) volumes(h HostSpec) {
	w.dir(h.VolumesDir, 0o711, root)
	if slices.Contains(h.Groups, "control") {
		w.fernet(h)
		agent := w.volume(h, "octavia_driver_agent", octavia)
		w.file(agent+"/status.json", 0o640, octavia, "{}\n")
		w.socket(agent + "/get.sock")
		rabbit := w.volume(h, "rabbitmq", rabbitmq)
		w.file(rabbit+"/mnesia/rabbit@"+h.Name+"/cluster_nodes.config", 0o640, rabbitmq, "{['rabbit@"+h.Name+"'],['rabbit@"+h.Name+"']}.\n")
		member := w.volume(h, "kolla_etcd", etcd)
		w.file(member+"/member/snap/db", 0o600, etcd, string(randomBytes(4096)))
	}
	if slices.Contains(h.Groups, "compute") {
		w.computeVolumes(h)
	}
	if slices.Contains(h.Groups, "storage") {
		w.dir(w.volume(h, "cinder", cinder)+"/conversion", 0o755, cinder)
	}
}

// volume makes an empty docker volume and returns the directory of its content.
func (w *writer) volume(h HostSpec, name string, owner int) string {
	dir := h.VolumesDir + "/" + name
	w.dir(dir, 0o711, root)
	w.dir(dir+"/_data", 0o755, owner)
	return dir + "/_data"
}

// fernet writes the keys that every control host shares: 0 is the next one, the highest the one in use.
func (w *writer) fernet(h HostSpec) {
	for len(w.fernetKeys) < 3 {
		w.fernetKeys = append(w.fernetKeys, base64.URLEncoding.EncodeToString(randomBytes(32)))
	}
	dir := w.volume(h, "keystone_fernet_tokens", keystone)
	w.own(dir, 0o770, keystone)
	for i, key := range w.fernetKeys {
		w.file(dir+"/"+strconv.Itoa(i), 0o600, keystone, key)
	}
}

// computeVolumes writes the identity of a hypervisor and the definition of a machine on it.
func (w *writer) computeVolumes(h HostSpec) {
	id := h.ComputeID
	if id == "" {
		id = uuid()
	}
	dir := w.volume(h, "nova_compute", nova)
	w.file(dir+"/compute_id", 0o640, nova, id)
	w.dir(dir+"/instances", 0o755, nova)
	w.file(dir+"/instances/compute_nodes", 0o644, nova, `{"`+h.Name+`": 1709281800.0}`)
	qemu := w.volume(h, "nova_libvirt_qemu", root)
	machine := strings.ReplaceAll(machineXML, "UUID", uuid())
	w.file(qemu+"/instance-0000002a.xml", 0o600, root, machine)
	w.dir(qemu+"/autostart", 0o755, root)
	w.symlink("../instance-0000002a.xml", qemu+"/autostart/instance-0000002a.xml")
	libvirtd := w.volume(h, "libvirtd", root)
	w.file(libvirtd+"/secrets/ceph.xml", 0o600, root, "<secret ephemeral='no' private='yes'/>\n")
	w.file(libvirtd+"/swtpm/"+uuid()+"/tpm2/tpm2-00.permall", 0o600, nova, string(randomBytes(1024)))
}

const machineXML = `<domain type='kvm'>
  <name>instance-0000002a</name>
  <uuid>UUID</uuid>
  <memory unit='KiB'>2097152</memory>
</domain>
`

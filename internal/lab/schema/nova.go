package schema

import (
	"encoding/json"
	"fmt"
)

// novaAPIRows writes the cells, the flavors, and which cell each server is in.
func novaAPIRows(s *script, c *Cloud) {
	s.into("nova_api.cell_mappings", "created_at", "id", "uuid", "name", "transport_url", "database_connection", "disabled")
	for i, cell := range []struct{ name, url, db string }{{"cell0", "none:///", "nova_cell0"}, {"cell1", "{scheme}://{username}:{password}@{hostname}:{port}//", "nova"}} {
		s.row(epoch, i+1, c.Cells[i], cell.name, cell.url, "{scheme}://{username}:{password}@{hostname}:{port}/"+cell.db, false)
	}
	s.into("nova_api.host_mappings", "created_at", "cell_id", "host")
	for _, n := range c.Computes {
		s.row(epoch, 2, n.Host)
	}
	s.into("nova_api.flavors", "created_at", "name", "id", "memory_mb", "vcpus", "swap", "vcpu_weight", "flavorid",
		"rxtx_factor", "root_gb", "ephemeral_gb", "disabled", "is_public", "description")
	for _, f := range c.Flavors {
		s.row(epoch, f.Name, f.ID, f.Memory, f.VCPUs, f.SwapMB, 0, f.FlavorID, 1.0, f.RootGB, 0, false, true, orNull(f.Description))
	}
	s.into("nova_api.flavor_extra_specs", "created_at", "flavor_id", "key", "value")
	for _, f := range c.Flavors {
		if f.Extra != "" {
			s.row(epoch, f.ID, f.Extra, "dedicated")
		}
	}
	s.into("nova_api.instance_mappings", "created_at", "instance_uuid", "cell_id", "project_id", "queued_for_delete", "user_id")
	for _, v := range c.Servers {
		s.row(v.Created, v.ID, map[bool]int{true: 1, false: 2}[v.Failed], v.Project, !v.Deleted.IsZero(), v.User)
	}
	s.into("nova_api.request_specs", "created_at", "instance_uuid", "spec")
	for _, v := range c.Servers {
		s.row(v.Created, v.ID, v.requestSpec())
	}
}

// novaRows writes the servers, those that found a host into cell1 and the others into cell0.
func novaRows(s *script, c *Cloud) {
	s.into("nova.services", "created_at", "updated_at", "host", "binary", "topic", "report_count", "disabled", "deleted",
		"forced_down", "version", "uuid")
	for _, n := range c.Computes {
		s.row(epoch, c.later(epoch), n.Host, "nova-compute", "compute", 424242, false, 0, false, 66, n.Service)
	}
	s.into("nova.compute_nodes", "created_at", "service_id", "vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used",
		"local_gb_used", "hypervisor_type", "hypervisor_version", "cpu_info", "disk_available_least", "hypervisor_hostname",
		"deleted", "host_ip", "host", "uuid", "mapped")
	for i, n := range c.Computes {
		s.row(epoch, i+1, 64, 524288, 1800, 12, 65536, 80, "QEMU", 7002000, `{"arch": "x86_64", "vendor": "Intel"}`, -12,
			n.Host, 0, fmt.Sprintf("192.0.2.%d", 21+i), n.Host, n.UUID, 1)
	}
	for _, cell := range []struct {
		db     string
		failed bool
	}{{"nova", false}, {"nova_cell0", true}} {
		var of []Server
		for _, v := range c.Servers {
			if v.Failed == cell.failed {
				of = append(of, v)
			}
		}
		serverRows(s, c, cell.db, of)
		serverDetails(s, c, cell.db, of)
		diskRows(s, c, cell.db, of)
	}
}

// serverRows writes the servers of one cell. Nova marks a deleted row with its own id.
func serverRows(s *script, c *Cloud, db string, servers []Server) {
	s.into(db+".instances", "created_at", "updated_at", "deleted_at", "id", "user_id", "project_id", "image_ref", "launch_index",
		"key_name", "power_state", "vm_state", "memory_mb", "vcpus", "hostname", "host", "user_data", "reservation_id",
		"launched_at", "terminated_at", "display_name", "display_description", "availability_zone", "locked", "launched_on",
		"instance_type_id", "uuid", "root_device_name", "config_drive", "root_gb", "ephemeral_gb", "node", "deleted",
		"cleaned", "hidden")
	power := map[string]int{"active": 1, "paused": 3, "stopped": 4}
	for i, v := range servers {
		deleted, image := 0, ""
		if !v.Deleted.IsZero() {
			deleted = i + 1
		}
		if v.Image != nil {
			image = v.Image.ID
		}
		s.row(v.Created, c.later(v.Created), v.Deleted, i+1, v.User, v.Project, image, 0,
			nil, power[v.State], v.State, v.Flavor.Memory, v.Flavor.VCPUs, fmt.Sprintf("server-%d", i+1), orNull(v.Host),
			orNull(v.UserData), "r-"+c.dice.id()[:8], v.Created, v.Deleted, v.Name, v.Name, "nova", false, orNull(v.Host),
			v.Flavor.ID, v.ID, "/dev/vda", "", v.Flavor.RootGB, 0, orNull(v.Host), deleted,
			map[bool]int{true: 1}[deleted > 0], false)
	}
}

func serverDetails(s *script, c *Cloud, db string, servers []Server) {
	s.into(db+".instance_extra", "created_at", "deleted", "instance_uuid", "flavor")
	for _, v := range servers {
		s.row(v.Created, 0, v.ID, v.flavorObject())
	}
	s.into(db+".instance_info_caches", "created_at", "deleted", "instance_uuid", "network_info")
	for _, v := range servers {
		s.row(v.Created, 0, v.ID, v.networkInfo())
	}
	s.into(db+".instance_system_metadata", "created_at", "deleted", "instance_uuid", "key", "value")
	for _, v := range servers {
		s.row(v.Created, 0, v.ID, "boot_roles", "member,reader")
		if v.Image != nil {
			s.row(v.Created, 0, v.ID, "image_base_image_ref", v.Image.ID)
			s.row(v.Created, 0, v.ID, "image_min_disk", fmt.Sprint(v.Image.MinDisk))
		}
	}
	s.into(db+".instance_metadata", "created_at", "deleted", "instance_uuid", "key", "value")
	for i, v := range servers {
		if i%4 == 0 {
			s.row(v.Created, 0, v.ID, "Größe \\ note", pick(c.dice, volumeNames))
		}
	}
}

// diskRows writes which image or volume each disk of a server comes from.
func diskRows(s *script, c *Cloud, db string, servers []Server) {
	s.into(db+".block_device_mapping", "created_at", "device_name", "delete_on_termination", "volume_id", "volume_size",
		"connection_info", "instance_uuid", "deleted", "source_type", "destination_type", "device_type", "disk_bus",
		"boot_index", "image_id", "attachment_id", "uuid")
	for i, v := range servers {
		if v.Image != nil {
			deleted := map[bool]int{false: i + 1}[v.Deleted.IsZero()]
			s.row(v.Created, "/dev/vda", true, nil, v.Flavor.RootGB, nil, v.ID, deleted, "image", "local", "disk", "virtio",
				0, v.Image.ID, nil, c.dice.uuid())
		}
		for _, vol := range v.Volumes {
			boot := map[bool]int{true: 0, false: -1}[vol.Attachment.Device == "/dev/vda"]
			s.row(v.Created, vol.Attachment.Device, false, vol.ID, vol.Size, c.connection(vol), v.ID, 0, "volume", "volume",
				"disk", "virtio", boot, nil, vol.Attachment.ID, c.dice.uuid())
		}
	}
}

type object map[string]any

func (v Server) flavorObject() string {
	return toJSON(object{"cur": object{"nova_object.name": "Flavor", "nova_object.data": object{
		"id": v.Flavor.ID, "name": v.Flavor.Name, "vcpus": v.Flavor.VCPUs, "memory_mb": v.Flavor.Memory, "root_gb": v.Flavor.RootGB,
	}}, "old": nil, "new": nil})
}

func (v Server) requestSpec() string {
	return toJSON(object{"nova_object.name": "RequestSpec", "nova_object.data": object{
		"instance_uuid": v.ID, "project_id": v.Project, "user_id": v.User, "num_instances": 1, "flavor": v.Flavor.FlavorID,
	}})
}

func (v Server) networkInfo() string {
	return toJSON([]object{{"id": v.Port, "address": v.MAC, "type": "ovs", "active": v.State == "active", "network": object{
		"id": v.Network.ID, "label": v.Network.Name, "subnets": []object{{"cidr": v.Network.CIDR, "ips": []object{{"address": v.Address}}}},
	}}})
}

// toJSON renders what can always be rendered; map keys come out sorted.
func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("render %T: %v", v, err))
	}
	return string(b)
}

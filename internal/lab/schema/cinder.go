package schema

import "fmt"

// cinderHost is the one cinder-volume service, named as Kolla names it for an active-active backend.
const cinderHost = "rbd:volumes@rbd-1"

// cinderRows writes services, types, volumes, snapshots, attachments and quotas.
func cinderRows(s *script, c *Cloud) {
	service := c.dice.uuid()
	s.into("cinder.services", "created_at", "updated_at", "deleted", "host", "binary", "topic", "report_count",
		"disabled", "availability_zone", "uuid", "rpc_current_version", "object_current_version",
		"replication_status", "frozen")
	s.row(epoch, c.later(epoch), false, cinderHost, "cinder-volume", "cinder-volume", 123456, false, "nova", service, "3.18", "1.39", "disabled", false)
	s.row(epoch, c.later(epoch), false, "ctl1", "cinder-scheduler", "cinder-scheduler", 123455, false, "nova", c.dice.uuid(), "3.12", "1.39", "disabled", false)
	s.into("cinder.volume_types", "created_at", "deleted", "id", "name", "is_public", "description")
	for _, t := range c.Types {
		s.row(epoch, false, t.ID, t.Name, true, nil)
	}
	s.into("cinder.volume_type_extra_specs", "created_at", "deleted", "volume_type_id", "key", "value")
	for _, t := range c.Types {
		s.row(epoch, false, t.ID, "volume_backend_name", t.Backend)
	}
	volumeRows(s, c, service)
	attachmentRows(s, c)
	s.into("cinder.quotas", "created_at", "deleted", "project_id", "resource", "hard_limit", "allocated")
	for i, p := range c.Projects {
		for j, resource := range []string{"volumes", "snapshots", "gigabytes"} {
			s.row(epoch, false, p.ID, resource, []int{-1, 100, 5000}[(i+j)%3], 0)
		}
	}
}

func volumeRows(s *script, c *Cloud, service string) {
	s.into("cinder.volumes", "created_at", "updated_at", "deleted_at", "deleted", "id", "user_id", "project_id", "host",
		"size", "availability_zone", "status", "attach_status", "launched_at", "terminated_at", "display_name",
		"display_description", "volume_type_id", "bootable", "_name_id", "multiattach", "service_uuid", "use_quota")
	for _, v := range c.Volumes {
		attach := map[bool]string{true: "attached", false: "detached"}[v.Attachment != nil]
		s.row(v.Created, c.later(v.Created), v.Deleted, !v.Deleted.IsZero(), v.ID, v.User, v.Project, cinderHost+"#rbd-1",
			v.Size, "nova", v.Status, attach, v.Created, v.Deleted, v.Name,
			orNull(v.Description), v.Type, v.Image != nil, orNull(v.NameID), false, service, true)
	}
	s.into("cinder.volume_metadata", "created_at", "deleted", "volume_id", "key", "value")
	for i, v := range c.Volumes {
		if i%3 == 0 {
			s.row(v.Created, false, v.ID, "owner's note", pick(c.dice, []string{"", "keep!", "\\'; DROP TABLE volumes; --"}))
		}
	}
	s.into("cinder.volume_glance_metadata", "created_at", "deleted", "volume_id", "key", "value")
	for _, v := range c.Volumes {
		if v.Image != nil {
			for _, fact := range v.Image.facts() {
				s.row(v.Created, false, v.ID, fact[0], fact[1])
			}
		}
	}
}

func attachmentRows(s *script, c *Cloud) {
	s.into("cinder.snapshots", "created_at", "deleted", "id", "volume_id", "user_id", "project_id", "status", "progress",
		"volume_size", "display_name", "volume_type_id", "use_quota")
	for _, v := range c.Volumes {
		for _, snap := range v.Snapshots {
			s.row(snap.Created, false, snap.ID, v.ID, v.User, v.Project, "available", "100%", v.Size, snap.Name, v.Type, true)
		}
	}
	s.into("cinder.volume_attachment", "created_at", "deleted", "id", "volume_id", "attached_host", "instance_uuid",
		"mountpoint", "attach_time", "attach_mode", "attach_status", "connection_info", "connector")
	for _, v := range c.Volumes {
		if a := v.Attachment; a != nil {
			connector := fmt.Sprintf(`{"host": %q, "multipath": false, "os_type": "linux"}`, a.Host)
			s.row(v.Created, false, a.ID, v.ID, a.Host, a.Server, a.Device, c.later(v.Created), "rw", "attached",
				c.connection(v), connector)
		}
	}
}

// connection is how nova reaches a volume, as JSON.
func (c *Cloud) connection(v *Volume) string {
	name := v.ID
	if v.NameID != "" {
		name = v.NameID
	}
	return fmt.Sprintf(`{"driver_volume_type": "rbd", "data": {"name": "volumes/volume-%s", "hosts": ["192.0.2.11", `+
		`"192.0.2.12", "192.0.2.13"], "ports": ["6789", "6789", "6789"], "cluster_name": "ceph", "auth_enabled": true, `+
		`"auth_username": "cinder", "secret_type": "ceph", "secret_uuid": %q, "volume_id": %q, "discard": true}}`,
		name, c.Secret, v.ID)
}

// orNull is NULL for the empty string.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

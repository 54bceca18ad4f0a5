package schema

import (
	"fmt"
	"maps"
	"slices"
)

// glanceRows writes the images, where they lie, and what is known of them.
func glanceRows(s *script, c *Cloud) {
	s.into("glance.images", "id", "name", "size", "status", "created_at", "updated_at", "deleted_at", "deleted",
		"disk_format", "container_format", "checksum", "owner", "min_disk", "min_ram", "protected", "virtual_size",
		"visibility", "os_hidden", "os_hash_algo", "os_hash_value")
	for i, img := range c.Images {
		status := map[bool]string{true: "active", false: "deleted"}[img.Deleted.IsZero()]
		s.row(img.ID, img.Name, img.Size, status, img.Created, c.later(img.Created), img.Deleted, !img.Deleted.IsZero(),
			img.Format, "bare", img.Checksum, img.Owner, img.MinDisk, 0, i%9 == 0, nil,
			img.Visibility, i%13 == 0, "sha512", img.Hash)
	}
	s.into("glance.image_locations", "image_id", "value", "created_at", "deleted_at", "deleted", "meta_data", "status")
	for _, img := range c.Images {
		status := map[bool]string{true: "active", false: "deleted"}[img.Deleted.IsZero()]
		s.row(img.ID, img.Location(c.FSID), img.Created, img.Deleted, !img.Deleted.IsZero(), `{"store": "rbd"}`, status)
	}
	s.into("glance.image_properties", "image_id", "name", "value", "created_at", "deleted_at", "deleted")
	for _, img := range c.Images {
		for _, name := range slices.Sorted(maps.Keys(img.Properties)) {
			s.row(img.ID, name, img.Properties[name], img.Created, img.Deleted, !img.Deleted.IsZero())
		}
	}
	sharingRows(s, c)
}

func sharingRows(s *script, c *Cloud) {
	s.into("glance.image_tags", "image_id", "value", "created_at", "deleted")
	for i, img := range c.Images {
		s.row(img.ID, []string{"lts", "Über-Image", "", `"golden"`}[i%4], img.Created, false)
	}
	s.into("glance.image_members", "image_id", "member", "can_share", "created_at", "deleted", "status")
	for i, img := range c.Images {
		if img.Visibility == "shared" {
			s.row(img.ID, c.tenant().ID, false, img.Created, false, []string{"pending", "accepted"}[i%2])
		}
	}
}

// facts is what a volume made from the image is told about it.
func (i Image) facts() [][2]string {
	return [][2]string{{"image_id", i.ID}, {"image_name", i.Name}, {"checksum", i.Checksum},
		{"disk_format", i.Format}, {"container_format", "bare"}, {"size", fmt.Sprint(i.Size)}}
}

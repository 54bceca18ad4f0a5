package lab

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// openstackRows is the SQL that makes the rows those of services that run: their users' passwords are the ones that
// Kolla knows, and the catalog says where they listen. With empty pools nothing is left that speaks of their content.
func (l *Lab) openstackRows() (string, error) {
	var b strings.Builder
	for user, key := range map[string]string{
		adminUser: "keystone_admin_password", "glance": "glance_keystone_password", "cinder": "cinder_keystone_password",
	} {
		hash, err := bcrypt.GenerateFromPassword([]byte(l.Kolla.Passwords[key]), bcrypt.MinCost)
		if err != nil {
			return "", fmt.Errorf("hash password of %s: %w", user, err)
		}
		fmt.Fprintf(&b, "UPDATE keystone.password p JOIN keystone.local_user u ON u.id = p.local_user_id SET p.password_hash = '%s' "+
			"WHERE u.name = '%s';\n", hash, user)
	}
	for kind, url := range map[string]string{
		"identity": l.OpenStack.Identity, "image": l.OpenStack.Image, "volumev3": l.OpenStack.Volume + "/%(tenant_id)s",
	} {
		fmt.Fprintf(&b, "UPDATE keystone.endpoint e JOIN keystone.service s ON s.id = e.service_id SET e.url = '%s' WHERE s.type = '%s';\n", url, kind)
	}
	if l.Options.EmptyPools {
		b.WriteString(emptyRows())
	}
	return b.String(), nil
}

// emptyRows removes the rows of images and volumes.
func emptyRows() string {
	var b strings.Builder
	for _, table := range []string{
		"glance.image_locations", "glance.image_properties", "glance.image_tags", "glance.image_members", "glance.images",
		"cinder.volume_glance_metadata", "cinder.volume_metadata", "cinder.volume_attachment", "cinder.snapshots", "cinder.volumes",
	} {
		fmt.Fprintf(&b, "DELETE FROM %s;\n", table)
	}
	return b.String()
}

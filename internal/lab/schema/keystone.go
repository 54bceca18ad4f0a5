package schema

import (
	"fmt"
	"time"
)

const (
	rootDomain = "<<keystone.domain.root>>"
	noDomain   = "<<null>>"
)

// keystoneRows writes the default domain, the projects, users, roles and the catalog.
func keystoneRows(s *script, c *Cloud) {
	s.into("keystone.project", "id", "name", "extra", "description", "enabled", "domain_id", "parent_id", "is_domain")
	s.row(rootDomain, rootDomain, "{}", "", false, rootDomain, nil, true)
	s.row("default", "Default", "{}", "The default domain", true, rootDomain, nil, true)
	for _, p := range c.Projects {
		s.row(p.ID, p.Name, "{}", p.Description, p.Enabled, "default", "default", false)
	}
	userRows(s, c)
	s.into("keystone.role", "id", "name", "extra", "domain_id", "description")
	for _, r := range c.Roles {
		s.row(r.ID, r.Name, "{}", noDomain, nil)
	}
	s.into("keystone.assignment", "type", "actor_id", "target_id", "role_id", "inherited")
	for _, u := range c.Users {
		s.row("UserProject", u.ID, u.Project, u.Role, false)
	}
	catalogRows(s, c)
}

func userRows(s *script, c *Cloud) {
	s.into("keystone.user", "id", "extra", "enabled", "default_project_id", "created_at", "last_active_at", "domain_id")
	for i, u := range c.Users {
		s.row(u.ID, fmt.Sprintf(`{"email": %q}`, u.Email), i%17 != 16, u.Project, u.Created, nil, "default")
	}
	s.into("keystone.local_user", "id", "user_id", "domain_id", "name", "failed_auth_count", "failed_auth_at")
	for i, u := range c.Users {
		s.row(i+1, u.ID, "default", u.Name, i%3, map[bool]any{true: epoch}[i%3 > 0])
	}
	s.into("keystone.password", "id", "local_user_id", "self_service", "password_hash", "created_at", "created_at_int", "expires_at")
	for i, u := range c.Users {
		s.row(i+1, i+1, false, c.bcrypt(), u.Created, u.Created.UnixMicro(), nil)
	}
}

// bcrypt looks like a hash of a password and is one of nothing.
func (c *Cloud) bcrypt() string {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := c.dice.bytes(53)
	for i := range b {
		b[i] = alphabet[b[i]%64]
	}
	return "$2b$12$" + string(b)
}

var catalog = []struct {
	name, kind, path string
	port             int
}{
	{"keystone", "identity", "", 5000},
	{"glance", "image", "", 9292},
	{"cinderv3", "volumev3", "/v3/%(tenant_id)s", 8776},
	{"nova", "compute", "/v2.1", 8774},
	{"placement", "placement", "", 8780},
	{"neutron", "network", "", 9696},
}

func catalogRows(s *script, c *Cloud) {
	s.into("keystone.region", "id", "description", "parent_region_id", "extra")
	s.row("RegionOne", "", nil, "{}")
	ids := make([]string, len(catalog))
	s.into("keystone.service", "id", "type", "enabled", "extra")
	for i, svc := range catalog {
		ids[i] = c.dice.id()
		s.row(ids[i], svc.kind, true, fmt.Sprintf(`{"name": %q, "description": ""}`, svc.name))
	}
	s.into("keystone.endpoint", "id", "interface", "service_id", "url", "extra", "enabled", "region_id")
	for i, svc := range catalog {
		for _, side := range []string{"internal", "public"} {
			url := fmt.Sprintf("https://%s.example.org:%d%s", side, svc.port, svc.path)
			s.row(c.dice.id(), side, ids[i], url, "{}", true, "RegionOne")
		}
	}
}

// later is some time after t, up to a day.
func (c *Cloud) later(t time.Time) time.Time {
	return t.Add(time.Duration(c.dice.IntN(86400)) * time.Second)
}

package schema

import "strings"

// attributes numbers neutron's standard attributes: every resource has one row in a shared table, which must come
// before the resource's own.
type attributes struct {
	rows []string // resource type of id i+1
	ids  map[string]int
}

func (a *attributes) add(kind, id string) {
	a.rows = append(a.rows, kind)
	a.ids[kind+id] = len(a.rows)
}

func (a *attributes) of(kind, id string) int { return a.ids[kind+id] }

// neutronRows writes networks, subnets, routers, security groups and ports.
func neutronRows(s *script, c *Cloud) {
	a := &attributes{ids: map[string]int{}}
	for _, n := range c.Networks {
		a.add("networks", n.ID)
		a.add("networksegments", n.Segment)
		a.add("subnets", n.Subnet)
		if !n.External {
			a.add("ports", n.Router)
			a.add("routers", n.Router)
			a.add("securitygroups", n.Project)
			a.add("securitygrouprules", n.Project)
		}
	}
	for _, v := range c.Servers {
		a.add("ports", v.Port)
	}
	s.into("neutron.standardattributes", "id", "resource_type", "created_at", "updated_at", "description", "revision_number")
	for i, kind := range a.rows {
		s.row(i+1, kind, c.dice.after(epoch), nil, []any{nil, "", "it's a \"port\""}[i%3], i%5)
	}
	networkRows(s, c, a)
	securityRows(s, c, a)
	portRows(s, c, a)
}

func networkRows(s *script, c *Cloud, a *attributes) {
	s.into("neutron.networks", "project_id", "id", "name", "status", "admin_state_up", "standard_attr_id", "mtu")
	for _, n := range c.Networks {
		s.row(n.Project, n.ID, n.Name, "ACTIVE", true, a.of("networks", n.ID), 1450)
	}
	s.into("neutron.externalnetworks", "network_id", "is_default")
	s.row(c.Networks[0].ID, false)
	s.into("neutron.networksegments", "id", "network_id", "network_type", "physical_network", "segmentation_id", "standard_attr_id")
	for _, n := range c.Networks {
		if n.External {
			s.row(n.Segment, n.ID, "flat", "physnet1", nil, a.of("networksegments", n.Segment))
		} else {
			s.row(n.Segment, n.ID, "vxlan", nil, n.Segmentation, a.of("networksegments", n.Segment))
		}
	}
	s.into("neutron.subnets", "project_id", "id", "name", "network_id", "ip_version", "cidr", "gateway_ip", "enable_dhcp", "standard_attr_id")
	for _, n := range c.Networks {
		s.row(n.Project, n.Subnet, n.Name+" subnet", n.ID, 4, n.CIDR, n.Gateway, !n.External, a.of("subnets", n.Subnet))
	}
	s.into("neutron.ipallocationpools", "id", "subnet_id", "first_ip", "last_ip")
	for _, n := range c.Networks {
		prefix := strings.TrimSuffix(n.Gateway, "1")
		s.row(c.dice.uuid(), n.Subnet, prefix+"2", prefix+"254")
	}
}

func securityRows(s *script, c *Cloud, a *attributes) {
	groups := map[string]string{}
	s.into("neutron.securitygroups", "project_id", "id", "name", "standard_attr_id", "stateful")
	for _, n := range c.Networks[1:] {
		groups[n.Project] = c.dice.uuid()
		s.row(n.Project, groups[n.Project], "default", a.of("securitygroups", n.Project), true)
	}
	s.into("neutron.securitygrouprules", "project_id", "id", "security_group_id", "direction", "ethertype", "protocol",
		"port_range_min", "port_range_max", "remote_ip_prefix", "standard_attr_id")
	for _, n := range c.Networks[1:] {
		s.row(n.Project, c.dice.uuid(), groups[n.Project], "ingress", "IPv4", "tcp", 22, 22, "0.0.0.0/0",
			a.of("securitygrouprules", n.Project))
	}
}

// portRows writes a port for each router and each server.
func portRows(s *script, c *Cloud, a *attributes) {
	s.into("neutron.routers", "project_id", "id", "name", "status", "admin_state_up", "enable_snat", "standard_attr_id")
	for _, n := range c.Networks[1:] {
		s.row(n.Project, n.Router, n.Name+" router", "ACTIVE", true, true, a.of("routers", n.Router))
	}
	s.into("neutron.ports", "project_id", "id", "name", "network_id", "mac_address", "admin_state_up", "status", "device_id",
		"device_owner", "standard_attr_id", "ip_allocation")
	for _, n := range c.Networks[1:] {
		s.row(n.Project, n.Router, "", n.ID, c.dice.mac(), true, "ACTIVE", n.Router, "network:router_interface",
			a.of("ports", n.Router), "immediate")
	}
	for _, v := range c.Servers {
		status := map[bool]string{true: "ACTIVE", false: "DOWN"}[v.State == "active"]
		s.row(v.Project, v.Port, v.Name, v.Network.ID, v.MAC, true, status, v.ID, "compute:nova", a.of("ports", v.Port), "immediate")
	}
	s.into("neutron.ipallocations", "port_id", "ip_address", "subnet_id", "network_id")
	for _, n := range c.Networks[1:] {
		s.row(n.Router, n.Gateway, n.Subnet, n.ID)
	}
	for _, v := range c.Servers {
		s.row(v.Port, v.Address, v.Network.Subnet, v.Network.ID)
	}
	s.into("neutron.ml2_port_bindings", "port_id", "host", "vif_type", "vnic_type", "profile", "vif_details", "status")
	for _, v := range c.Servers {
		s.row(v.Port, v.Host, map[bool]string{true: "unbound", false: "ovs"}[v.Failed], "normal", "",
			`{"port_filter": true, "bridge_name": "br-int"}`, "ACTIVE")
	}
}

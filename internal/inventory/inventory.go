// Package inventory reads what Kolla-Ansible knows of a cloud: the hosts and groups of its inventory, its globals and
// its passwords. The inventory is expanded by ansible-inventory itself, so that ranges, plugins, scripts, group_vars
// and host_vars mean here what they mean to the deployment. A value that only a playbook could work out (a template)
// is reported as such and never guessed.
package inventory

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"holdfast/internal/host"
)

// Inventory is an expanded Ansible inventory.
type Inventory struct {
	Hosts []*Host  // every host once, in the inventory's order
	Paths []string // what it was read from
	Notes []string // what could not be read, and does not matter so far

	groups map[string]*group
	byName map[string]*Host
	base   host.Host // where Ansible runs: what ansible_connection=local means
}

// Host is one machine of the inventory.
type Host struct {
	Name   string
	Groups []string // every group it is in, directly or through children, sorted; never "all"
	Vars   map[string]any

	base host.Host
}

type group struct {
	Hosts    []string `json:"hosts"`
	Children []string `json:"children"`
}

// Parse reads the output of ansible-inventory --list.
func Parse(list []byte) (*Inventory, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(list, &raw); err != nil {
		return nil, fmt.Errorf("parse inventory: %w", err)
	}
	vars, err := hostVars(raw["_meta"])
	if err != nil {
		return nil, err
	}
	delete(raw, "_meta")
	inv := &Inventory{groups: map[string]*group{}, byName: map[string]*Host{}}
	for name, text := range raw {
		g := &group{}
		if err := json.Unmarshal(text, g); err != nil {
			return nil, fmt.Errorf("parse group %s: %w", name, err)
		}
		inv.groups[name] = g
	}
	inv.collect(vars)
	return inv, nil
}

func hostVars(meta json.RawMessage) (map[string]map[string]any, error) {
	var m struct {
		HostVars map[string]map[string]any `json:"hostvars"`
	}
	if len(meta) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(meta, &m); err != nil {
		return nil, fmt.Errorf("parse host variables: %w", err)
	}
	return m.HostVars, nil
}

// collect makes the hosts in the order in which "all" reaches them; groups that "all" does not reach come after, by
// name, so that the order never depends on chance.
func (inv *Inventory) collect(vars map[string]map[string]any) {
	names := inv.expand("all")
	for _, g := range inv.GroupNames() {
		names = append(names, inv.expand(g)...)
	}
	for _, name := range names {
		if inv.byName[name] == nil {
			h := &Host{Name: name, Vars: vars[name]}
			inv.byName[name] = h
			inv.Hosts = append(inv.Hosts, h)
		}
	}
	for _, g := range inv.GroupNames() {
		for _, h := range inv.Group(g) {
			if g != "all" {
				h.Groups = append(h.Groups, g)
			}
		}
	}
}

// expand lists the hosts of a group and of its children, level by level as Ansible does, each once.
func (inv *Inventory) expand(name string) []string {
	var hosts []string
	seenHost, seenGroup := map[string]bool{}, map[string]bool{name: true}
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		g := inv.groups[queue[0]]
		if g == nil {
			continue
		}
		for _, h := range g.Hosts {
			if !seenHost[h] {
				seenHost[h] = true
				hosts = append(hosts, h)
			}
		}
		for _, c := range g.Children {
			if !seenGroup[c] {
				seenGroup[c] = true
				queue = append(queue, c)
			}
		}
	}
	return hosts
}

// Host returns the host called name, or nil.
func (inv *Inventory) Host(name string) *Host { return inv.byName[name] }

// Group returns the hosts of a group and of its children, in the inventory's order; none for an unknown group.
func (inv *Inventory) Group(name string) []*Host {
	var hosts []*Host
	for _, h := range inv.expand(name) {
		hosts = append(hosts, inv.byName[h])
	}
	return hosts
}

// GroupNames lists every group, sorted.
func (inv *Inventory) GroupNames() []string {
	names := make([]string, 0, len(inv.groups))
	for name := range inv.groups {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// In reports whether the host is in one of the groups.
func (h *Host) In(groups ...string) bool {
	return slices.ContainsFunc(groups, func(g string) bool {
		_, found := slices.BinarySearch(h.Groups, g)
		return found
	})
}

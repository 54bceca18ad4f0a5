package kolla

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/inventory"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

var _ source.Checker = (*Source)(nil)

// Check implements source.Checker: whether everything that a capture needs is there.
func (s *Source) Check(ctx context.Context) []source.Check {
	checks := []source.Check{s.checkInventory(), s.checkGlobals(), s.checkConfig(ctx), s.checkPasswords(ctx)}
	hosts := s.hosts()
	for i, a := range probeAll(ctx, hosts) {
		checks = append(checks, checkHost(hosts[i], a))
	}
	return checks
}

func (s *Source) checkInventory() source.Check {
	inv := s.o.Inventory
	c := source.Check{
		Name: "kolla inventory", Status: source.OK,
		Detail: fmt.Sprintf("%d hosts in %d groups, from %s", len(inv.Hosts), len(inv.GroupNames()), strings.Join(inv.Paths, ", ")),
	}
	switch {
	case !slices.ContainsFunc(inv.Hosts, func(h *inventory.Host) bool { return h.In(requiredGroups...) }):
		c.Status = source.Fail
		c.Detail += "; none is in " + strings.Join(requiredGroups, ", ")
		c.Mend = "point kolla.inventory in holdfast.yml at the inventory given to kolla-ansible -i"
	case len(inv.Notes) > 0:
		c.Status = source.Warn
		c.Detail += "; " + strings.Join(inv.Notes, "; ")
		c.Mend = "set kolla.vault_password in holdfast.yml if a file is encrypted; give each host an address of its own"
	}
	return c
}

// decisive are the settings that decide where things lie on the hosts.
var decisive = []string{"kolla_container_engine", "docker_runtime_directory", "node_config", "node_config_directory", "node_custom_config", "kolla_certificates_dir"}

// undecided are the decisive settings whose value is not known.
func (s *Source) undecided() []string {
	return slices.DeleteFunc(s.o.Globals.Unresolved(), func(name string) bool { return !slices.Contains(decisive, name) })
}

func (s *Source) checkGlobals() source.Check {
	c := source.Check{Name: "kolla globals", Status: source.OK, Detail: s.o.Globals.String()}
	if unknown := s.undecided(); len(unknown) > 0 {
		c.Status = source.Warn
		c.Detail += "; only Ansible can resolve " + strings.Join(unknown, ", ") + ", so their defaults are used"
		c.Mend = "set these to plain values in globals.yml or globals.d"
	}
	return c
}

func (s *Source) checkConfig(ctx context.Context) source.Check {
	c := source.Check{Name: "kolla configuration", Status: source.OK, Detail: s.o.Config + " on " + s.o.Deploy.String()}
	found, err := survey(ctx, s.o.Deploy, []string{s.o.Config})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s is not there", s.o.Config)
	}
	if err != nil {
		c.Status, c.Detail = source.Fail, err.Error()
		c.Mend = "point kolla.config in holdfast.yml at the directory that holds globals.yml"
	}
	return c
}

func (s *Source) checkPasswords(ctx context.Context) source.Check {
	c := source.Check{Name: "kolla passwords", Status: source.OK}
	if s.o.Passwords == nil {
		c.Detail = "not asked for"
		return c
	}
	state, keys, err := s.o.Passwords.Keys(ctx)
	switch {
	case err != nil:
		c.Status, c.Detail, c.Mend = source.Fail, err.Error(), problem.HintOf(err)
	case state == inventory.AbsentPasswords:
		c.Status = source.Warn
		c.Detail = s.o.Passwords.Path + " is not there"
		c.Mend = "if the passwords live in another store on purpose, back that store up too"
	case state == inventory.EncryptedPasswords:
		c.Detail = s.o.Passwords.Path + " is encrypted with ansible-vault and is captured as it stands"
	default:
		c.Detail = fmt.Sprintf("%d keys in %s", len(keys), s.o.Passwords.Path)
	}
	return c
}

func checkHost(h *inventory.Host, a answer) source.Check {
	c := source.Check{Name: "host " + h.Name, Status: source.OK}
	group := firstOf(h, requiredGroups)
	switch {
	case a.err != nil:
		c.Status, c.Detail, c.Mend = source.Fail, a.err.Error(), problem.HintOf(a.err)
		if group == "" {
			c.Status = source.Warn // a few of these may be missing
		}
	case !a.root:
		c.Status, c.Detail = source.Fail, "commands do not run as root there, so that not everything can be read"
		c.Mend = "set ansible_become=true for " + h.Name + " in the inventory and allow its user sudo without a password"
	default:
		c.Detail = fmt.Sprintf("answers within %s, root, GNU tar", a.latency.Round(time.Millisecond))
	}
	return c
}

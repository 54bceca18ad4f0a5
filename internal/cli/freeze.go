package cli

import (
	"strings"

	"holdfast/internal/config"
	"holdfast/internal/inventory"
	"holdfast/internal/problem"
	"holdfast/internal/source/rbd"
)

// freeze is which servers stand still for a backup, and how; nil for none.
func freeze(from setup) *rbd.Freeze {
	f := from.cfg.RBD.Freeze
	if f == nil {
		return nil
	}
	return &rbd.Freeze{
		Include: f.Include, Exclude: f.Exclude, Timeout: f.Timeout,
		Compute: func(name string) (rbd.Compute, error) {
			c, err := from.described()
			if err != nil {
				return rbd.Compute{}, err
			}
			h := c.compute(name)
			if h == nil {
				return rbd.Compute{}, problem.New(problem.Usage, "call it in the inventory as Nova does", "the inventory has no compute %s", name)
			}
			return c.libvirt(h, *f)
		},
		Computes: func() (all []rbd.Compute, err error) {
			c, err := from.described()
			if err != nil {
				return nil, err
			}
			for _, h := range c.inv.Group("compute") {
				found, err := c.libvirt(h, *f)
				if err != nil {
					return nil, err
				}
				all = append(all, found)
			}
			return all, nil
		},
	}
}

// compute is the host that Nova calls by a name, which may or may not have a domain.
func (c *cloud) compute(name string) *inventory.Host {
	if h := c.inv.Host(name); h != nil {
		return h
	}
	short, _, _ := strings.Cut(name, ".")
	for _, h := range c.inv.Group("compute") {
		if first, _, _ := strings.Cut(h.Name, "."); first == short {
			return h
		}
	}
	return nil
}

// libvirt is how virsh is called on a host. Its container is entered by the engine's exec for each call, so that what
// thaws a server outlives the container.
func (c *cloud) libvirt(h *inventory.Host, f config.Freeze) (rbd.Compute, error) {
	machine, err := h.Connect()
	if err != nil || f.Run == "host" {
		return rbd.Compute{Host: machine, Virsh: []string{f.Virsh}}, err
	}
	engine := f.Engine
	if engine == "" {
		engine = c.globals.Engine()
	}
	return rbd.Compute{Host: machine, Virsh: []string{engine, "exec", f.Container, f.Virsh}}, nil
}

package config

import (
	"time"

	"go.yaml.in/yaml/v3"
)

// What stands in for keys of rbd.freeze that are not given.
const (
	DefaultFreezeTimeout   = 10 * time.Second
	DefaultFreezeContainer = "nova_libvirt"
	DefaultVirsh           = "virsh"
)

// mostFreeze is the longest that a server may be told to stand still.
const mostFreeze = 2 * time.Minute

// freeze reads which servers are frozen, and by what.
func (d *decoder) freeze(n *yaml.Node, at string) *Freeze {
	f := &Freeze{Timeout: DefaultFreezeTimeout, Run: "container", Container: DefaultFreezeContainer, Virsh: DefaultVirsh}
	found := d.mapping(n, at,
		optional("include", list(d, &f.Include, d.selector)),
		optional("exclude", list(d, &f.Exclude, d.selector)),
		optional("timeout", d.duration(&f.Timeout)),
		optional("run", d.text(&f.Run, oneOf("container", "host"))),
		optional("container", d.text(&f.Container, aName)),
		optional("engine", d.text(&f.Engine, oneOf("docker", "podman"))),
		optional("virsh", d.text(&f.Virsh)),
	)
	if f.Timeout > mostFreeze {
		d.fault(found["timeout"], "servers stand still for that long", "%s is more than %s", join(at, "timeout"), FormatDuration(mostFreeze))
	}
	d.later = append(d.later, func(c Config) {
		if c.MariaDB == nil {
			d.fault(n, "add mariadb:", "%s needs mariadb, whose databases tell which images belong to a server", at)
		}
	})
	return f
}

package inventory

import (
	"context"
	"fmt"
	"path"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// Globals are the deployment's settings: globals.yml, then globals.d/*.yml by name, the later winning. They outrank
// the inventory's variables.
type Globals struct {
	Files []string // what was read, in order

	values map[string]any
	dir    string
}

// LoadGlobals reads the globals in the configuration directory dir of the deploy host h.
func LoadGlobals(ctx context.Context, h host.Host, dir string) (*Globals, error) {
	g := &Globals{values: map[string]any{}, dir: dir}
	main := path.Join(dir, "globals.yml")
	text, err := readFile(ctx, h, main)
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Usage, Op: "read", Target: main, Cause: err,
			Hint: "point kolla.config in holdfast.yml at the directory that holds globals.yml",
		}
	}
	if err := g.merge(main, text); err != nil {
		return nil, err
	}
	more, err := listFiles(ctx, h, path.Join(dir, "globals.d"), "*.yml")
	if err != nil {
		return nil, err
	}
	for _, file := range more {
		text, err := readFile(ctx, h, file)
		if err != nil {
			return nil, err
		}
		if err := g.merge(file, text); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *Globals) merge(file string, text []byte) error {
	if isVault(text) {
		return problem.New(problem.Usage, "only passwords.yml may be encrypted: move secrets there", "%s is encrypted with ansible-vault", file)
	}
	var values map[string]any
	if err := yaml.Unmarshal(text, &values); err != nil {
		return &problem.Error{
			Kind: problem.Usage, Op: "read", Target: file, Cause: err, Hint: "correct the file: Kolla-Ansible cannot read it either",
		}
	}
	g.Files = append(g.Files, file)
	for name, v := range values {
		g.values[name] = v
	}
	return nil
}

// Value returns a setting as text, and whether it is there and known. Plain references to other settings are followed.
func (g *Globals) Value(name string) (string, bool) {
	text, err := expandVar(name, g.value)
	return text, err == nil && text != "" && !isVault([]byte(text))
}

func (g *Globals) value(name string) (any, bool) {
	v, there := g.values[name]
	if v == nil && (name == "CONFIG_DIR" || name == "node_config") {
		return g.dir, true // what Kolla-Ansible makes of the directory it is given
	}
	return v, there && v != nil
}

// Unresolved lists the settings that are there and not known, sorted: templates that only Ansible resolves, and
// encrypted values. Lists and maps are not counted.
func (g *Globals) Unresolved() []string {
	var names []string
	for name, v := range g.values {
		text, ok := v.(string)
		if _, known := g.Value(name); ok && text != "" && !known {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// or returns a setting, or what is meant when it is not there or not known.
func (g *Globals) or(name, otherwise string) string {
	if text, ok := g.Value(name); ok {
		return text
	}
	return otherwise
}

// Engine is the container engine: docker or podman.
func (g *Globals) Engine() string { return g.or("kolla_container_engine", "docker") }

// Volumes is the directory on a host that holds the engine's volumes, one directory each.
func (g *Globals) Volumes() string {
	if g.Engine() == "podman" {
		return "/var/lib/containers/storage/volumes"
	}
	return path.Join(g.or("docker_runtime_directory", "/var/lib/docker"), "volumes")
}

// Release is the OpenStack release, "" when globals leave it to Kolla-Ansible's default.
func (g *Globals) Release() string { return g.or("openstack_release", "") }

// BaseDistro is the distribution inside the images, "" when it is left to the default.
func (g *Globals) BaseDistro() string { return g.or("kolla_base_distro", "") }

// VIP is the internal virtual address, "" when it is not known.
func (g *Globals) VIP() string { return g.or("kolla_internal_vip_address", "") }

// NodeConfig is the configuration directory on every host that is deployed to.
func (g *Globals) NodeConfig() string { return g.or("node_config_directory", "/etc/kolla") }

// CustomConfig is the deploy host's directory of custom configuration, given its configuration directory.
func (g *Globals) CustomConfig(dir string) string {
	return g.or("node_custom_config", path.Join(dir, "config"))
}

// Enabled lists the enable_* settings that are true, without their prefix, sorted.
func (g *Globals) Enabled() []string {
	var on []string
	for name := range g.values {
		service, ok := strings.CutPrefix(name, "enable_")
		if text, known := g.Value(name); ok && known && truthy(text) {
			on = append(on, service)
		}
	}
	sort.Strings(on)
	return on
}

// String says how many settings were read, and from where.
func (g *Globals) String() string {
	return fmt.Sprintf("%d settings from %s", len(g.values), strings.Join(g.Files, ", "))
}

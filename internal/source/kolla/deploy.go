package kolla

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/problem"
)

// deployExtras lie on the deploy host outside of the configuration directory, if they are there.
var deployExtras = []string{"/etc/ansible/ansible.cfg", "/etc/ansible/hosts", "/etc/hosts", "/etc/machine-id"}

// deployRoots are the configuration directory, what belongs to the inventory, and what links in them lead to.
func (c *capture) deployRoots(ctx context.Context) ([]string, error) {
	o := c.source.o
	globs := []string{o.Config, o.Globals.CustomConfig(o.Config)}
	if certs, ok := o.Globals.Value("kolla_certificates_dir"); ok {
		globs = append(globs, certs)
	}
	globs = append(globs, besideInventory(o.Inventory.Paths)...)
	found, err := survey(ctx, c.host, append(globs, deployExtras...))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(found, path.Clean(o.Config)) {
		return nil, problem.New(problem.Usage, "point kolla.config in holdfast.yml at the directory that holds globals.yml",
			"%s is not there", o.Config)
	}
	roots, linked, err := follow(ctx, c.host, found)
	for _, path := range linked {
		c.note("%s was captured too: a link in the configuration leads there", path)
	}
	return roots, err
}

// besideInventory are the inventories and what Ansible reads beside them.
func besideInventory(paths []string) []string {
	var out []string
	for _, p := range paths {
		if strings.Contains(p, ",") {
			continue // a list of hosts
		}
		out = append(out, p)
		for _, name := range []string{"group_vars", "host_vars", "ansible.cfg"} {
			out = append(out, path.Join(path.Dir(p), name))
		}
	}
	return out
}

// deploymentScript prints the versions of what Kolla-Ansible runs with, from the environment it is installed in.
//
//go:embed deployment.sh
var deploymentScript string

// describeDeployment adds which Kolla-Ansible deploys the cloud, and how the passwords are kept.
func (c *capture) describeDeployment(ctx context.Context) error {
	out, err := host.Output(ctx, c.host, host.Cmd{Args: []string{"sh", "-c", deploymentScript, "deployment"}})
	if err != nil {
		return fmt.Errorf("ask for Kolla-Ansible's version: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), "=="); ok && strings.EqualFold(name, "kolla-ansible") {
			c.identity["kolla_ansible"] = version
		}
	}
	if len(out) > 0 {
		if err := c.keep(path.Join(exportDir, "pip-freeze.txt"), out); err != nil {
			return err
		}
	}
	c.identity["enabled"] = c.source.o.Globals.Enabled()
	return c.describePasswords(ctx)
}

// describePasswords adds the names of the passwords, never anything made from a value: many are short enough to be
// found again from a hash.
func (c *capture) describePasswords(ctx context.Context) error {
	p := c.source.o.Passwords
	if p == nil {
		return nil
	}
	state, keys, err := p.Keys(ctx)
	if err != nil {
		return err
	}
	c.identity["passwords"] = string(state)
	switch state {
	case inventory.AbsentPasswords:
		c.note("%s is not there; if the passwords live in another store, back that up too", p.Path)
	case inventory.PlainPasswords:
		sum := sha256.Sum256([]byte(strings.Join(keys, "\n")))
		c.identity["password_keys"] = len(keys)
		c.identity["password_names_sha256"] = hex.EncodeToString(sum[:])
	}
	return nil
}

// keep writes a small file of our own into the tree.
func (c *capture) keep(name string, content []byte) error {
	f, err := c.create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Abort()
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return f.Close()
}

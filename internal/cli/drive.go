package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"holdfast/internal/control"
	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/source"
)

// checkControl finds out how a restore would stop and start the database nodes, and whether one was cut off while it did.
func (c *cloud) checkControl(ctx context.Context) []source.Check {
	driver := c.control()
	k, ok := driver.(control.Kolla)
	if !ok {
		return []source.Check{passed("control", "restores use %s", driver.Describe())}
	}
	checks := []source.Check{passed("control", "restores use %s", k.Describe())}
	if len(k.Ansible) == 0 {
		checks[0] = source.Check{
			Name: "control", Status: source.Warn, Detail: c.kollaAnsible() + " was not found here; restores use " + k.Describe(),
			Mend: "install kolla-ansible on this host, or name its path: mariadb.control.kolla_ansible in " + c.cfg.File,
		}
	}
	return append(checks, c.checkBootstraps(ctx, path.Join(k.ConfigDir, "mariadb/galera.cnf"))...)
}

// keptSuffix ends the name under which a bootstrap keeps a node's true configuration until the server answers.
const keptSuffix = ".holdfast-kept"

// errKept is what a node tells whose bootstrap was cut off.
var errKept = errors.New("a bootstrap was cut off")

// checkBootstraps asks every database node whether a bootstrap left its configuration without peers.
func (c *cloud) checkBootstraps(ctx context.Context, cnf string) []source.Check {
	shards, err := c.inv.Shards()
	if err != nil {
		return []source.Check{failed("galera.cnf", err)}
	}
	var nodes []*inventory.Host
	for _, s := range shards {
		nodes = append(nodes, s.Hosts...)
	}
	found := make([]error, len(nodes))
	each := make([]func(), len(nodes))
	for i, n := range nodes {
		each[i] = func() { found[i] = lookForKept(ctx, n, cnf+keptSuffix) }
	}
	atOnce(each)
	var checks []source.Check
	var well []string
	for i, n := range nodes {
		switch {
		case found[i] == nil:
			well = append(well, n.Name)
		case errors.Is(found[i], errKept):
			checks = append(checks, cutOff(n.Name, cnf))
		default:
			checks = append(checks, source.Check{
				Name: n.Name + ": galera.cnf", Status: source.Warn, Detail: found[i].Error(), Mend: "see what keeps " + n.Name + " from being asked",
			})
		}
	}
	if len(well) > 0 {
		checks = slices.Insert(checks, 0, passed("galera.cnf", "no bootstrap was cut off on %s", strings.Join(well, ", ")))
	}
	return checks
}

func lookForKept(ctx context.Context, n *inventory.Host, file string) error {
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	where, err := n.Connect()
	if err != nil {
		return err
	}
	out, err := host.Output(ctx, where, host.Cmd{Args: []string{"sh", "-c", `if [ -e "$1" ]; then echo kept; fi`, "look", file}})
	if err == nil && len(out) > 0 {
		err = errKept
	}
	return err
}

// cutOff tells of a node that was left so. The file is written to and not replaced, as its owner and mode must stay.
func cutOff(node, cnf string) source.Check {
	return source.Check{
		Name: node + ": galera.cnf", Status: source.Fail,
		Detail: fmt.Sprintf("%s; %s may name no peers, and then the server starts a cluster of its own", errKept, cnf),
		Mend:   fmt.Sprintf("unless a restore runs now, as root on %s: cat %[3]s >%[2]s && rm %[3]s", node, word(cnf), word(cnf+keptSuffix)),
	}
}

// word writes a path as one word of a shell.
func word(path string) string {
	if strings.ContainsAny(path, " \t\n'\"\\$&;|<>()*?[]#~`!{}") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

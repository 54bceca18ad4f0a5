package control

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// Kolla drives the containers that Kolla-Ansible made. With a deploy host at hand, kolla-ansible itself recovers the
// cluster from the node that was restored; without one, the node is started once with an empty list of peers in its
// galera.cnf, which is put back as soon as the server is up.
type Kolla struct {
	Engine    string // docker or podman
	Container string
	ConfigDir string // Kolla's configuration on the node; default /etc/kolla
	// Ansible is the command that runs kolla-ansible on Deploy up to its subcommand, empty where there is none.
	Ansible   []string
	Inventory []string
	Deploy    host.Host
}

var _ Control = Kolla{}

// Describe names the tool that is used.
func (k Kolla) Describe() string {
	if len(k.Ansible) > 0 {
		return "kolla-ansible mariadb-recovery on " + k.Deploy.String()
	}
	return k.Engine + " and an empty gcomm:// in galera.cnf, once"
}

// graceSeconds is how long the engine waits for a clean shutdown before it kills; Kolla gives 60, which a large buffer
// pool may exceed.
const graceSeconds = "300"

// withUnit does something to a container, and to the systemd unit through which Kolla may keep it running: a container
// that is stopped behind its unit's back is started again by it.
const withUnit = `action=$1 engine=$2 container=$3; shift 3
unit=kolla-$container-container.service
has_unit() { command -v systemctl >/dev/null && systemctl cat "$unit" >/dev/null 2>&1; }
if [ "$action" = stop ] && has_unit; then systemctl stop "$unit"; fi
"$engine" "$action" "$@" "$container" >/dev/null
if [ "$action" = start ] && has_unit; then systemctl start "$unit"; fi`

// Stop stops the container.
func (k Kolla) Stop(ctx context.Context, n Node) error {
	return k.act(ctx, n, "stop", "-t", graceSeconds)
}

// Join starts the container.
func (k Kolla) Join(ctx context.Context, n Node) error { return k.act(ctx, n, "start") }

func (k Kolla) act(ctx context.Context, n Node, action string, options ...string) error {
	args := append([]string{"sh", "-euc", withUnit, "holdfast", action, k.Engine, k.Container}, options...)
	if err := host.Run(ctx, n.Machine, host.Cmd{Args: args}); err != nil {
		return fmt.Errorf("%s container %s on %s: %w", action, k.Container, n.Name, err)
	}
	return nil
}

// bootstrapScript starts the container with no peers and puts its configuration back whatever happens.
//
//go:embed bootstrap.sh
var bootstrapScript string

// unkilled runs the script $1 in a session of its own and waits for it. What kills a command with its group, as when
// Holdfast dies, then leaves the script to finish what it began.
const unkilled = `script=$1; shift; setsid sh -c "$script" bootstrap "$@" & wait $!`

// Bootstrap starts the container as the first of a new cluster.
func (k Kolla) Bootstrap(ctx context.Context, n Node) error {
	if len(k.Ansible) > 0 {
		return k.recover(ctx, n)
	}
	dir := k.ConfigDir
	if dir == "" {
		dir = "/etc/kolla"
	}
	cmd := host.Cmd{Args: []string{"sh", "-c", unkilled, "holdfast", bootstrapScript, k.Engine, k.Container, dir + "/mariadb/galera.cnf"}}
	if err := host.Run(ctx, n.Machine, cmd); err != nil {
		return fmt.Errorf("bootstrap container %s on %s: %w", k.Container, n.Name, err)
	}
	return nil
}

// ansible begins a command line of kolla-ansible. Ansible refuses a locale without UTF-8.
func (k Kolla) ansible() []string { return append([]string{"env", "LC_ALL=C.UTF-8"}, k.Ansible...) }

// action is the name of the recovery: releases before 2025.1 write it with an underscore, and their help tells.
func (k Kolla) action(ctx context.Context) string {
	help, err := host.Output(ctx, k.Deploy, host.Cmd{Args: append(k.ansible(), "--help")})
	if err == nil && strings.Contains(string(help), "mariadb_recovery") {
		return "mariadb_recovery"
	}
	return "mariadb-recovery"
}

// recover lets kolla-ansible bootstrap from n and start all others.
func (k Kolla) recover(ctx context.Context, n Node) error {
	args := append(k.ansible(), k.action(ctx))
	for _, inv := range k.Inventory {
		args = append(args, "-i", inv)
	}
	args = append(args, "-e", "mariadb_recover_inventory_name="+n.Name)
	if err := host.Run(ctx, k.Deploy, host.Cmd{Args: args}); err != nil {
		return &problem.Error{
			Kind: problem.Failed, Op: "recover the cluster with kolla-ansible from", Target: n.Name, Cause: err,
			Hint: "the restored datadir is in place on " + n.Name + ": correct what kolla-ansible tells and run mariadb-recovery again",
		}
	}
	return nil
}

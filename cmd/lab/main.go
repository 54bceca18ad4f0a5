// Lab brings a small real cloud up on this machine, and down again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"holdfast/internal/lab"
	"holdfast/internal/problem"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		if hint := problem.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "  →", hint)
		}
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	switch problem.KindOf(err) {
	case problem.Usage:
		return 2
	case problem.NotFound:
		return 4
	case problem.Busy:
		return 6
	case problem.Interrupted:
		return 130
	default:
		return 1
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "lab",
		Short:         "A small real cloud on this machine: Galera, Ceph, ssh hosts, Kolla's files",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.AddCommand(upCommand(), downCommand(), statusCommand(), depsCommand(), destroyCommand(), attackCommand(), dayCommand(), checksumCommand())
	return cmd
}

func upCommand() *cobra.Command {
	var opts lab.Options
	cmd := &cobra.Command{
		Use:   "up DIR",
		Short: "Bring a lab up in DIR, a new or empty directory",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Dir = args[0]
			began := time.Now()
			l, err := lab.Up(cmd.Context(), opts, func(line string) { fmt.Fprintln(os.Stderr, line) })
			if err != nil {
				return problem.Wrap(err, "bring lab up in", args[0])
			}
			fmt.Fprintf(os.Stderr, "%-40s %6.2f s\n", "lab is up", time.Since(began).Seconds())
			if l.OpenStack != nil {
				fmt.Fprintln(os.Stderr, "for the openstack command:", l.OpenStack.Openrc)
			}
			fmt.Println(l.Config())
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&opts.Galera, "galera", 3, "nodes of the Galera cluster; 0 for hosts alone")
	f.IntVar(&opts.Shards, "shards", 1, "Galera clusters")
	f.IntVar(&opts.ShardNodes, "shard-nodes", 1, "nodes of each further cluster")
	f.BoolVar(&opts.Containers, "containers", false, "run mariadbd in containers, one docker engine per host")
	f.BoolVar(&opts.Podman, "podman", false, "the same with podman")
	f.BoolVar(&opts.Ceph, "ceph", false, "a Ceph cluster with a gateway, and in it what the databases speak of")
	f.BoolVar(&opts.Tiers, "tiers", false, "more tiers in holdfast.yml: in the S3 gateway, with --ceph, and on a host by sftp")
	f.BoolVar(&opts.EmptyPools, "empty-pools", false, "with --ceph: nothing is in its pools")
	f.BoolVar(&opts.OpenStack, "openstack", false, "the real Keystone, Glance and Cinder on them, with a Ceph cluster")
	f.IntVar(&opts.Rows, "rows", 0, "scale of the OpenStack rows; 0 for a few thousand")
	f.IntVar(&opts.BulkMiB, "bulk", 0, "size of an extra schema for benches, in MiB")
	f.StringVar(&opts.SST, "sst", "rsync", "how nodes copy their whole state: rsync or mariabackup")
	f.Int64Var(&opts.Seed, "seed", 1, "of the rows: the same seed gives the same rows")
	return cmd
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down DIR",
		Short: "Stop everything of the lab in DIR and remove DIR",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(args[0])
			if err != nil {
				return err
			}
			return l.Down(cmd.Context())
		},
	}
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status DIR",
		Short: "Show the hosts and database nodes of the lab in DIR",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(args[0])
			if err != nil {
				return err
			}
			return status(cmd.Context(), l)
		},
	}
}

func status(ctx context.Context, l *lab.Lab) error {
	up := l.Up()
	for _, h := range l.Hosts {
		state := "down"
		if up[h.Name] {
			state = "up"
		}
		line := fmt.Sprintf("%-6s %-5s ssh %s", h.Name, state, h.Addr())
		if n, err := l.Node(h.Name); err == nil {
			line += fmt.Sprintf("  sql 127.0.0.1:%d  %s", n.SQLPort, nodeState(ctx, l, n.Host))
		}
		fmt.Println(line)
	}
	if len(up) < len(l.Hosts) {
		return problem.New(problem.Failed, "start afresh: lab down, then lab up", "%d of %d hosts are down", len(l.Hosts)-len(up), len(l.Hosts))
	}
	return nil
}

func nodeState(ctx context.Context, l *lab.Lab, name string) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := l.SQL(ctx, name, "SHOW STATUS LIKE 'wsrep_local_state_comment'")
	if err != nil {
		return "does not answer"
	}
	_, state, _ := strings.Cut(out, "\t")
	return state
}

func depsCommand() *cobra.Command {
	var install bool
	var others []string
	cmd := &cobra.Command{
		Use:   "deps",
		Short: "Name the Debian packages a lab needs and this machine lacks",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			missing := append(lab.Missing(lab.Options{Galera: 1, Containers: true, OpenStack: true}), lab.MissingOf(append(others, lab.Watch...))...)
			if len(missing) == 0 {
				fmt.Fprintln(os.Stderr, "nothing is missing")
				return nil
			}
			if !install {
				fmt.Println(strings.Join(missing, " "))
				return problem.New(problem.Failed, "install them: lab deps --install", "%d packages are missing", len(missing))
			}
			return installMissing(cmd.Context(), missing)
		},
	}
	cmd.Flags().BoolVar(&install, "install", false, "install them with apt-get")
	cmd.Flags().StringSliceVar(&others, "also", nil, "and what brings a program, as `PROGRAM=PACKAGE`")
	return cmd
}

// installMissing asks first when somebody is there to answer.
func installMissing(ctx context.Context, missing []string) error {
	if os.Geteuid() != 0 {
		return problem.New(problem.Usage, "run it with sudo", "installing packages needs root")
	}
	fmt.Fprintln(os.Stderr, "to install:", strings.Join(missing, " "))
	if term.IsTerminal(int(os.Stdin.Fd())) {
		fmt.Fprint(os.Stderr, "Install with apt-get? [y/N] ")
		var answer string
		if _, err := fmt.Scanln(&answer); err != nil || !strings.HasPrefix(strings.ToLower(answer), "y") {
			return errors.New("nothing installed")
		}
	}
	return lab.Install(ctx, missing, os.Stderr)
}

package restore

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/control"
	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/source/mariadb"
)

// ClusterNode is a node of the cluster that is restored, from today's inventory.
type ClusterNode struct {
	control.Node
	Server mariadb.Node // where the server's tools run
}

// place is what a machine says about its server's data directory, whether or not the server runs.
type place struct {
	datadir string // as the machine sees it, outside the container
	exists  bool
	mount   bool // it is a mount point, so it cannot be moved aside
	uid     int
	gid     int
	mode    string
	label   string // SELinux context, "" without SELinux
	uuid    string // cluster UUID in grastate.dat
	free    int64  // bytes on the file system that holds it
	image   string // image of the container, "" without one
	backup  string // version of mariadb-backup
}

//go:embed place.sh
var placeScript string

// survey asks the machine of n.
func survey(ctx context.Context, n ClusterNode) (place, error) {
	args := []string{"sh", "-c", placeScript, "holdfast"}
	if e := n.Server.Engine; e != nil {
		args = append(args, e.Command, e.Container)
	}
	out, err := host.Output(ctx, n.Machine, host.Cmd{Args: args})
	if err != nil {
		return place{}, problem.Wrap(err, "look at the data directory of", n.Name)
	}
	return parsePlace(n.Name, string(out))
}

func parsePlace(node, out string) (place, error) {
	v := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "=")
		v[name] = value
	}
	p := place{
		datadir: strings.TrimRight(v["datadir"], "/"), exists: v["exists"] == "1", mount: v["mount"] == "1", mode: v["mode"],
		label: v["label"], uuid: v["uuid"], image: v["image"], backup: versionPattern.FindString(v["backup"]),
	}
	p.uid, _ = strconv.Atoi(v["uid"])
	p.gid, _ = strconv.Atoi(v["gid"])
	free, _ := strconv.ParseInt(v["free"], 10, 64)
	p.free = free << 10
	if p.datadir == "" || !p.exists {
		return p, problem.New(problem.Failed, "deploy the database containers first (they may be stopped), so that there is a place to restore to",
			"%s has no data directory for the server: %q", node, p.datadir)
	}
	return p, nil
}

// staging is where the new datadir is prepared, on the same file system and so one rename away from its place.
func (p place) staging(id string) string { return p.datadir + ".holdfast-new-" + id }

// aside is where the old datadir goes.
func (p place) aside(id, to string) string {
	if to != "" {
		return strings.TrimRight(to, "/") + "/mariadb-" + id
	}
	return p.datadir + ".holdfast-old-" + id
}

// sh runs a piece of shell on a machine with arguments that it gets as $1, $2, ...
func sh(ctx context.Context, h host.Host, script string, args ...string) error {
	return host.Run(ctx, h, host.Cmd{Args: append([]string{"sh", "-euc", script, "holdfast"}, args...)})
}

// moveAside moves the old datadir away and puts an empty one with the same owner, mode and label in its place.
func (p place) moveAside(ctx context.Context, n ClusterNode, id, to string) error {
	const script = `old=$1 aside=$2 owner=$3 mode=$4 label=$5
[ ! -e "$aside" ] || { echo "$aside exists already" >&2; exit 1; }
mkdir -p "$(dirname "$aside")"
mv -T "$old" "$aside"
mkdir "$old"
chown "$owner" "$old"; chmod "$mode" "$old"
[ -z "$label" ] || chcon "$label" "$old"`
	err := sh(ctx, n.Machine, script, p.datadir, p.aside(id, to), p.owner(), p.mode, p.label)
	if err != nil {
		return fmt.Errorf("move the old datadir of %s aside: %w", n.Name, err)
	}
	return nil
}

// moveIn puts the staged datadir in place of the empty one.
func (p place) moveIn(ctx context.Context, n ClusterNode, id string) error {
	if err := sh(ctx, n.Machine, `rmdir "$2" && mv -T "$1" "$2" && sync -f "$2"`, p.staging(id), p.datadir); err != nil {
		return fmt.Errorf("put the restored datadir of %s in place: %w", n.Name, err)
	}
	return nil
}

// own gives the staged files the owner, mode and label of the datadir they will be.
func (p place) own(ctx context.Context, n ClusterNode, id string) error {
	const script = `chown -R "$2" "$1"; chmod "$3" "$1"; [ -z "$4" ] || chcon -R "$4" "$1"`
	if err := sh(ctx, n.Machine, script, p.staging(id), p.owner(), p.mode, p.label); err != nil {
		return fmt.Errorf("give the restored files on %s to the server: %w", n.Name, err)
	}
	return nil
}

func (p place) owner() string { return fmt.Sprintf("%d:%d", p.uid, p.gid) }

// prepare prepares the staged files with the mariadb-backup that belongs to the node's server.
func (p place) prepare(ctx context.Context, n ClusterNode, id string) error {
	dir := p.staging(id)
	command := []string{"mariadb-backup"}
	if e := n.Server.Engine; e != nil {
		command = append([]string{e.Command, "run", "--rm", "--network=none", "--user=0", "--entrypoint=", "--volume=" + dir + ":/restore:z"}, ulimits(e.Command)...)
		command = append(command, p.image, "mariadb-backup")
		dir = "/restore"
	}
	if err := prepareWith(ctx, n.Machine, command, dir); err != nil {
		return fmt.Errorf("prepare on %s: %w", n.Name, err)
	}
	return nil
}

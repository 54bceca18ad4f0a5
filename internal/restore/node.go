package restore

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
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
	empty   bool   // the datadir holds nothing
	absent  bool   // an interrupted restore of this point moved the datadir aside and put nothing in its place
	spare   bool   // what an interrupted restore put there, or has copied aside, and no server used since
	stale   bool   // an interrupted restore of this point left a staged datadir,
	ready   bool   // which is whole and prepared
	left    string // staged datadir of a restore of another point, "" if there is none
	aside   string // where the old datadir goes, absent
	kept    string // where an earlier restore of this point left one, "" if there is none
	oldUse  int64  // bytes that moving it aside takes there, 0 on the same file system
	oldFree int64
}

// markScript is what the scripts know of the mark in a datadir that nobody has used yet; markName is its name.
//
//go:embed mark.sh
var markScript string

const markName = ".holdfast-replaces"

//go:embed place.sh
var placeScript string

// survey asks the machine of n, for a restore of point id that moves the old datadir below oldTo, or beside the new one.
func survey(ctx context.Context, n ClusterNode, id, oldTo string) (place, error) {
	engine, container := "", ""
	if e := n.Server.Engine; e != nil {
		engine, container = e.Command, e.Container
	}
	out, err := host.Output(ctx, n.Machine, host.Cmd{Args: []string{"sh", "-c", markScript + placeScript, "holdfast", engine, container, id, oldTo}})
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
		empty: v["empty"] == "1", absent: v["absent"] == "1", spare: v["spare"] == "1", stale: v["stale"] == "1", ready: v["ready"] == "1",
		left: v["left"], aside: v["aside"], kept: v["kept"],
		free: kib(v["free"]), oldUse: kib(v["olduse"]), oldFree: kib(v["oldfree"]),
	}
	p.uid, _ = strconv.Atoi(v["uid"])
	p.gid, _ = strconv.Atoi(v["gid"])
	if !p.exists && v["moved"] == "1" {
		return p, problem.New(problem.Failed, "give the same --old-to as the restore that was cut off, or move the old datadir back from there",
			"%s has no data directory: an interrupted restore of this point has moved %s aside", node, p.datadir)
	}
	if p.datadir == "" || !p.exists {
		return p, problem.New(problem.Failed, "deploy the database containers first (they may be stopped), so that there is a place to restore to",
			"%s has no data directory for the server: %q", node, p.datadir)
	}
	return p, nil
}

// kib reads a number of KiB, in bytes; what is absent is 0.
func kib(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n << 10
}

// staging is where the new datadir is prepared, on the same file system and so one rename away from its place.
func (p place) staging(id string) string { return p.datadir + ".holdfast-new-" + id }

// moved reports whether an interrupted restore of the point has kept the datadir from before it already, so that
// nothing of worth is in its place.
func (p place) moved() bool { return p.kept != "" && (p.absent || p.empty || p.spare) }

// old is where the datadir from before the restore is once the restore is done.
func (p place) old() string {
	if p.moved() {
		return p.kept
	}
	return p.aside
}

// undo is the command that takes the restore on a node back; it does nothing where no old datadir is.
func (p place) undo() string {
	return fmt.Sprintf("test -d %[1]s && rm -rf %[2]s && mv -T %[1]s %[2]s", shellQuote(p.old()), shellQuote(p.datadir))
}

var plainWord = regexp.MustCompile(`^[\w./:@=+-]+$`)

// shellQuote makes text one word of a shell command.
func shellQuote(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// sh runs a piece of shell on a machine with arguments that it gets as $1, $2, ...
func sh(ctx context.Context, h host.Host, script string, args ...string) error {
	return host.Run(ctx, h, host.Cmd{Args: append([]string{"sh", "-euc", script, "holdfast"}, args...)})
}

//go:embed exchange.sh
var exchangeScript string

// exchange keeps the old datadir aside and puts in its place the staged one, or an empty one with the same owner, mode
// and label.
func (p place) exchange(ctx context.Context, n ClusterNode, id, staged string) error {
	keep := "1"
	if p.moved() {
		keep = "0"
	}
	if err := sh(ctx, n.Machine, markScript+exchangeScript, p.datadir, id, keep, p.old(), staged, p.owner(), p.mode, p.label); err != nil {
		return fmt.Errorf("move the old datadir of %s aside: %w", n.Name, err)
	}
	return nil
}

// use takes the mark away before a server works in the datadir: from then on it is of worth.
func (p place) use(ctx context.Context, n ClusterNode) error {
	if err := sh(ctx, n.Machine, `rm -f "$1"`, p.datadir+"/"+markName); err != nil {
		return fmt.Errorf("take the restored datadir of %s into use: %w", n.Name, err)
	}
	return nil
}

// own gives the staged files the owner, mode and label of the datadir they will be, and marks them as whole.
func (p place) own(ctx context.Context, n ClusterNode, id string) error {
	const script = `chown -R "$2" "$1"; chmod "$3" "$1"; [ -z "$4" ] || chcon -R "$4" "$1"; sync -f "$1"; : >"$1/$mark"`
	if err := sh(ctx, n.Machine, markScript+script, p.staging(id), p.owner(), p.mode, p.label); err != nil {
		return fmt.Errorf("give the restored files on %s to the server: %w", n.Name, err)
	}
	return nil
}

func (p place) owner() string { return fmt.Sprintf("%d:%d", p.uid, p.gid) }

// anyBackup runs mariadb-backup under the name that the release at hand has for it.
var anyBackup = []string{"sh", "-c", `exec "$(command -v mariadb-backup || command -v mariabackup)" "$@"`, "mariadb-backup"}

// prepare prepares the staged files with the mariadb-backup that belongs to the node's server.
func (p place) prepare(ctx context.Context, n ClusterNode, id string) error {
	dir := p.staging(id)
	command := anyBackup
	if e := n.Server.Engine; e != nil {
		command = append([]string{e.Command, "run", "--rm", "--network=none", "--user=0", "--entrypoint=", "--volume=" + dir + ":/restore:z"}, ulimits(e.Command)...)
		command = append(command, p.image)
		command = append(command, anyBackup...)
		dir = "/restore"
	}
	if err := prepareWith(ctx, n.Machine, command, dir); err != nil {
		return fmt.Errorf("prepare on %s: %w", n.Name, err)
	}
	return nil
}

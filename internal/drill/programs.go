package drill

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/restore"
)

// programs are MariaDB's own of one version: those of this machine, or those of the image that the server ran from.
type programs struct {
	describe string
	names    map[string]string    // by what they do; absent when there is none
	image    *restore.ServerImage // nil for those of this machine
	uid, gid int64                // who they run as, where they may be told
}

// The programs that a drill needs, by what they do, with the names that releases have for them.
var wanted = [][]string{
	{"server", "mariadbd", "mysqld"}, {"client", "mariadb", "mysql"}, {"dump", "mariadb-dump", "mysqldump"},
	{"check", "mariadb-check", "mysqlcheck"}, {"install", "mariadb-install-db", "mysql_install_db"},
	{"checksum", "innochecksum"},
}

// nameScript tells which programs there are, as lines of USE=NAME, and the server's version. An argument is a use and its names.
const nameScript = `PATH=$PATH:/usr/sbin:/usr/local/sbin
for use; do
	set -- $use
	what=$1; shift
	for name; do
		found=$(command -v "$name") || continue
		echo "$what=$found"
		[ "$what" != server ] || echo "version=$("$found" --no-defaults --version)"
		break
	done
done`

// nobody runs a server whose own user is not known.
const nobody = 65534

// find chooses the programs for copies of a shard: those of this machine if they are of the version, else those of the image.
func (r *run) find(ctx context.Context, c point.Component) (programs, error) {
	physical, _ := r.Point.Component(c.Source, fmt.Sprintf("shard%d/physical", r.Shard))
	g := programs{uid: nobody, gid: nobody}
	if uid, ok := number(physical.Identity, "uid"); ok && uid > 0 {
		g.uid = uid
		g.gid, _ = number(physical.Identity, "gid")
	}
	want := text(c.Identity, "server_version")
	if err := g.ask(ctx, host.Cmd{}); err != nil {
		return g, err
	}
	if have := g.names["version"]; g.complete() && restore.Fits(want, have) {
		g.describe = version(have) + " of this machine"
		return g, nil
	}
	image, ok := r.Restorer.ServerImage(ctx, r.Point, physical)
	if !ok {
		return g, g.unfit(want)
	}
	if err := r.place.uses(image.Engine); err != nil {
		return g, err
	}
	if err := image.Load(ctx); err != nil {
		return g, err
	}
	g.image = &image
	err := g.ask(ctx, host.Cmd{Args: slices.Concat([]string{image.Engine}, image.Args(), []string{"--rm", image.ID}), Env: image.Env()})
	g.describe = version(g.names["version"]) + " of " + image.Describe
	if err == nil && !(g.complete() && restore.Fits(want, g.names["version"])) {
		err = g.unfit(want)
	}
	return g, err
}

// unfit says why the programs that were found do not serve.
func (g *programs) unfit(want string) error {
	var missing []string
	for _, names := range wanted {
		if g.names[names[0]] == "" {
			missing = append(missing, names[1])
		}
	}
	what := "found was " + version(g.names["version"])
	if len(missing) > 0 {
		what = "there is no " + strings.Join(missing, ", no ") + " here"
	}
	return problem.New(problem.Failed, "install mariadb-server of that release series here, or docker or podman where the point holds the server's image",
		"no programs that fit server %s are at hand: %s, and no image of the server", want, what)
}

// ask finds the programs by a command that runs sh, on this machine or in an image.
func (g *programs) ask(ctx context.Context, in host.Cmd) error {
	in.Args = append(in.Args, "sh", "-euc", nameScript, "drill")
	for _, names := range wanted {
		in.Args = append(in.Args, strings.Join(names, " "))
	}
	out, err := host.Output(ctx, host.Local{}, in)
	if err != nil {
		return fmt.Errorf("look for MariaDB's programs: %w", err)
	}
	g.names = map[string]string{"nothing": "true"}
	for line := range strings.Lines(string(out)) {
		use, name, _ := strings.Cut(strings.TrimSpace(line), "=")
		g.names[use] = name
	}
	return nil
}

func (g *programs) complete() bool {
	return !slices.ContainsFunc(wanted, func(names []string) bool { return g.names[names[0]] == "" })
}

// version shortens what a server says of itself: "mariadbd 10.11.8-MariaDB".
func version(said string) string {
	fields := strings.Fields(said)
	for i, f := range fields {
		if f == "Ver" && i+1 < len(fields) {
			return path.Base(fields[0]) + " " + fields[i+1]
		}
	}
	return said
}

// home is what the directory of a part is called where the programs run.
func (g *programs) home(dir string) string {
	switch {
	case g.image != nil:
		return "/drill"
	case os.Geteuid() == 0:
		return mountPoint()
	}
	return dir
}

// mountPoint is where a server that is shut off finds its directory: a place that nothing it needs is in.
func mountPoint() string {
	if info, err := os.Stat("/mnt"); err == nil && info.IsDir() {
		return "/mnt"
	}
	return "/tmp"
}

// Scripts that become a program, in the directory of a part. The number and the start of the process are recorded first.
const (
	recordScript = `echo "$$ $(cut -d ' ' -f 22 "/proc/$$/stat")" >` + serverFile + "\n"
	plainScript  = recordScript + `shift 2; exec "$@"`
	// closedScript runs it without a network and as another user, who could not reach the directory: root alone passes those
	// above it. So he finds it elsewhere.
	closedScript = recordScript + `exec unshare --mount --net --propagation private sh -euc '
mount --bind . "$3"; cd "$3"; uid=$1 gid=$2; shift 3
exec setpriv --reuid="$uid" --regid="$gid" --clear-groups -- "$@"' drill "$@"`
	// containedScript ends with its input, which ends with Holdfast.
	containedScript = `exec 3<&0
"$@" </dev/null 3<&- & program=$!
(cat <&3 >/dev/null; kill -KILL "$program") &
wait "$program"`
)

// command runs a program, as the server's user, in the directory of a part. Container is the name it gets there.
func (g *programs) command(dir, container string, args ...string) host.Cmd {
	uid, gid := strconv.FormatInt(g.uid, 10), strconv.FormatInt(g.gid, 10)
	c := host.Cmd{Dir: dir, Name: path.Base(args[0]), Env: []string{"HOME=/nonexistent"}}
	switch {
	case g.image != nil:
		c.Args = slices.Concat([]string{g.image.Engine}, g.image.Args(), []string{
			"--rm", "--interactive", "--name=" + container, "--user=" + uid + ":" + gid, "--volume=" + dir + ":/drill:z", "--workdir=/drill",
			g.image.ID, "sh", "-euc", containedScript, "drill",
		}, args)
		c.Env = append(g.image.Env(), c.Env...)
	case os.Geteuid() == 0:
		c.Args = append([]string{"sh", "-euc", closedScript, "drill", uid, gid, mountPoint()}, args...)
	default:
		c.Args = append([]string{"sh", "-euc", plainScript, "drill", uid, gid}, args...)
	}
	return c
}

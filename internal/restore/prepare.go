package restore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/point"
)

// preparer makes an extracted physical copy into a data directory. Only a mariadb-backup of the server's own release
// series, and not an older one, may do it.
type preparer struct {
	describe string
	run      func(ctx context.Context, dir string) error
}

// preparer looks for a mariadb-backup that fits the copy: on this machine, in the image of the copy if the engine here
// has it, else in the image that the point itself holds.
func (r *Restorer) preparer(ctx context.Context, p point.Point, c point.Component, plan *Plan) preparer {
	want := text(c.Identity, "server_version")
	tool, have := r.localTool(ctx)
	if tool != "" && Fits(want, have) {
		return r.localPreparer(tool, have)
	}
	if prep, ok := r.imagePreparer(ctx, p, c); ok {
		return prep
	}
	if tool == "" {
		plan.refuse("", "install mariadb-backup "+series(want)+" here, or run this on a host whose container engine has the image",
			"no mariadb-backup of server version %s is at hand: none on this machine, and no image of it", want)
		return preparer{describe: "nothing that fits"}
	}
	plan.refuse(AcceptVersion, "install mariadb-backup "+series(want)+" here", "the copy is of server %s and mariadb-backup here is %s", want, have)
	return r.localPreparer(tool, have)
}

var versionPattern = regexp.MustCompile(`\d+\.\d+\.\d+`)

// Fits reports whether mariadb-backup of version have may prepare a copy of server version want: same series, and not
// older.
func Fits(want, have string) bool {
	w, h := versionPattern.FindString(want), versionPattern.FindString(have)
	return w != "" && h != "" && series(w) == series(h) && patch(h) >= patch(w)
}

func series(version string) string {
	v := versionPattern.FindString(version)
	return v[:max(0, strings.LastIndexByte(v, '.'))]
}

func patch(version string) int {
	n, _ := strconv.Atoi(version[strings.LastIndexByte(version, '.')+1:])
	return n
}

// localTool returns the mariadb-backup of this machine and its version, "" when there is none.
func (r *Restorer) localTool(ctx context.Context) (tool, version string) {
	for _, name := range []string{"mariadb-backup", "mariabackup"} {
		// It tells its version on stderr.
		var told strings.Builder
		err := host.Run(ctx, r.Local, host.Cmd{
			Args: []string{name, "--no-defaults", "--version"}, OnStderr: func(line string) { told.WriteString(line) },
		})
		if err == nil {
			return name, versionPattern.FindString(told.String())
		}
	}
	return "", ""
}

func (r *Restorer) localPreparer(tool, version string) preparer {
	return preparer{
		describe: tool + " " + version + " of this machine",
		run: func(ctx context.Context, dir string) error {
			return prepareWith(ctx, r.Local, []string{tool}, dir)
		},
	}
}

// prepareWith runs the tool, as command, on dir and believes it only when it says that it completed.
func prepareWith(ctx context.Context, h host.Host, command []string, dir string, env ...string) error {
	var last string
	args := append(append([]string{}, command...), "--no-defaults", "--prepare", "--target-dir="+dir, "--use-memory="+strconv.Itoa(prepareMemory))
	err := host.Run(ctx, h, host.Cmd{Args: args, Env: env, OnStderr: func(line string) {
		if strings.TrimSpace(line) != "" {
			last = line
		}
	}})
	if err != nil {
		return err
	}
	if !strings.HasSuffix(strings.TrimSpace(last), "completed OK!") {
		return fmt.Errorf("mariadb-backup ended without saying that it completed; its last words: %s", last)
	}
	return nil
}

// prepareMemory is the buffer pool of a prepare, in bytes: enough for the redo log of a busy night to apply in one pass.
const prepareMemory = 512 << 20

// imagePreparer prepares in a container of the image that the server ran from.
func (r *Restorer) imagePreparer(ctx context.Context, p point.Point, c point.Component) (preparer, bool) {
	image, ok := r.ServerImage(ctx, p, c)
	if !ok {
		return preparer{}, false
	}
	return preparer{describe: "mariadb-backup in " + image.Describe, run: func(ctx context.Context, dir string) error {
		if err := image.Load(ctx); err != nil {
			return err
		}
		dir, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		command := slices.Concat([]string{image.Engine}, image.Args(), []string{"--rm", "--user=0", "--volume=" + dir + ":/restore", image.ID}, anyBackup)
		return prepareWith(ctx, r.Local, command, "/restore", image.Env()...)
	}}, true
}

// engine returns the container engine that answers on this machine, "" when none does.
func (r *Restorer) engine(ctx context.Context) string {
	for _, name := range []string{"docker", "podman"} {
		if host.Run(ctx, r.Local, host.Cmd{Args: []string{name, "info"}, Env: engineEnv()}) == nil {
			return name
		}
	}
	return ""
}

// engineEnv passes the operator's choice of engine on.
func engineEnv() []string {
	if v := os.Getenv("DOCKER_HOST"); v != "" {
		return []string{"DOCKER_HOST=" + v}
	}
	return nil
}

// ulimits are what podman must be told where it may not raise its own.
func ulimits(engine string) []string {
	if engine != "podman" {
		return nil
	}
	return []string{"--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096"}
}

// savedImage finds the component of a point that holds the image.
func savedImage(p point.Point, digest string) (point.Component, bool) {
	for _, c := range p.Components {
		if c.Source == "mariadb" && c.State == point.Good && text(c.Identity, "image_id") == digest && strings.HasPrefix(c.Name, "image/") {
			return c, true
		}
	}
	return point.Component{}, false
}

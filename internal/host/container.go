package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"holdfast/internal/problem"
)

// The ways into a container.
const (
	EnterAuto    = "auto"    // nsenter where it is possible, else exec
	EnterExec    = "exec"    // the engine's exec, with all that the engine's daemon copies in between
	EnterNsenter = "nsenter" // the container's namespaces, as root of its host: several times faster for streams
)

// Container is a container of a docker or podman engine. The program that is run there needs sh and /proc, nothing else.
//
// With nsenter a command gets the environment, user and group of the container's first process, but no supplementary
// groups, and it is not counted against the container's own limits. It ends with the container in either way.
type Container struct {
	On     Host   // where the engine runs: Local or SSH
	Engine string // "docker" or "podman", or the path of one; "" for docker
	// EngineArgs are global options of the engine ("--host", "unix:///run/other.sock").
	EngineArgs []string
	Name       string // or ID
	Enter      string // EnterAuto, EnterExec, EnterNsenter; "" for EnterAuto
	User       string // "name", "name:group", "uid", "uid:gid"; "" for the user of the container's first process
}

var _ place = Container{}

// String returns "container" on this machine and "host/container" elsewhere.
func (c Container) String() string {
	if _, ok := c.On.(Local); ok {
		return c.Name
	}
	return c.On.String() + "/" + c.Name
}

// Start implements Host.
func (c Container) Start(ctx context.Context, cmd Cmd) (*Process, error) { return start(ctx, c, cmd) }

func (c Container) engine() []string {
	name := c.Engine
	if name == "" {
		name = "docker"
	}
	return append([]string{name}, c.EngineArgs...)
}

func (c Container) command(args []string, bulk bool) ([]string, error) {
	on, ok := c.On.(place)
	if !ok {
		return nil, fmt.Errorf("container %s: %T is no place for an engine", c.Name, c.On)
	}
	mode := c.Enter
	if mode == "" {
		mode = EnterAuto
	}
	return on.command(append([]string{"sh", "-c", enter, "enter", quote(c.engine()), c.Name, mode, c.User}, args...), bulk)
}

// Its own descriptors are in the way of others.
func (Container) inherits() bool { return false }

func (c Container) diagnose(code int, stderr string) error {
	engine, on := c.engine()[0], c.On.String()
	say := func(hint, format string, args ...any) error {
		return problem.New(problem.Failed, hint, format, args...)
	}
	switch _, cause, _ := strings.Cut(stderr, "holdfast-enter: "); strings.TrimSpace(cause) {
	case "no engine":
		return say("install "+engine+" on "+on+", or name the engine that runs there", "%s has no %s", on, engine)
	case "absent":
		return c.absent(stderr)
	case "stopped":
		return say("start it, or read "+engine+" logs "+c.Name+" on "+on, "container %s of %s on %s is not running", c.Name, engine, on)
	case "":
	default:
		return say("correct the settings of container "+c.Name, "enter container %s on %s: %s", c.Name, on, strings.TrimSpace(cause))
	}
	if strings.Contains(stderr, "is not running") || strings.Contains(stderr, "can only create exec sessions on running") {
		return say("start it", "container %s of %s on %s is not running", c.Name, engine, on)
	}
	if strings.Contains(stderr, "OCI runtime exec failed") {
		return say("the container's image needs sh", "enter container %s on %s: %s", c.Name, on, lastLine(stderr))
	}
	if on, ok := c.On.(place); ok {
		return on.diagnose(code, stderr)
	}
	return nil
}

// absent explains why the engine could not inspect the container.
func (c Container) absent(stderr string) error {
	engine, on := c.engine()[0], c.On.String()
	said := strings.TrimSpace(strings.ReplaceAll(stderr, "holdfast-enter: absent", ""))
	low := strings.ToLower(said)
	if strings.Contains(low, "no such") {
		return problem.New(problem.Failed, "list what runs there with "+engine+" ps -a on "+on+", and correct the name",
			"%s on %s has no container %s", engine, on, c.Name)
	}
	if strings.Contains(low, "permission denied") {
		return problem.New(problem.Failed, "connect to "+on+" as root, or with sudo", "%s on %s: %s", engine, on, lastLine(said))
	}
	return problem.New(problem.Failed, "check that "+engine+" runs on "+on, "%s on %s: %s", engine, on, lastLine(said))
}

// Info is what the engine says of a container.
type Info struct {
	ID        string
	Running   bool
	PID       int      // of its first process, as its host counts; 0 if it does not run
	Image     string   // the image's ID, a digest
	ImageName string   // as it was asked for, with its tag
	User      string   // as configured; "" for root
	Env       []string // KEY=VALUE as configured; may hold secrets, so it is never shown
	Mounts    []Mount
}

// Mount is a volume or directory inside a container.
type Mount struct {
	Type        string // "volume", "bind", "tmpfs"
	Name        string // of the volume
	Source      string // path on the container's host
	Destination string // path inside
	RW          bool
}

// Inspect asks the engine. A container that does not exist is a problem.
func (c Container) Inspect(ctx context.Context) (Info, error) {
	args := append(c.engine(), "inspect", "--type", "container", c.Name)
	out, err := Output(ctx, c.On, Cmd{Args: args})
	if err != nil {
		var e *ExitError
		if errors.As(err, &e) && e.Code < 126 {
			err = c.absent(e.Stderr)
		}
		return Info{}, fmt.Errorf("inspect container %s: %w", c.Name, err)
	}
	info, err := parseInspect(out)
	if err != nil {
		return Info{}, fmt.Errorf("inspect container %s: %w", c.Name, err)
	}
	return info, nil
}

func parseInspect(out []byte) (Info, error) {
	var all []struct {
		ID, Image, ImageName string
		State                struct {
			Running bool
			Pid     int
		}
		Config struct {
			Image, User string
			Env         []string
		}
		Mounts []Mount
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return Info{}, err
	}
	if len(all) != 1 {
		return Info{}, fmt.Errorf("the engine told of %d containers", len(all))
	}
	a := all[0]
	if a.ImageName == "" {
		a.ImageName = a.Config.Image
	}
	if a.Image != "" && !strings.Contains(a.Image, ":") {
		a.Image = "sha256:" + a.Image
	}
	return Info{
		ID: a.ID, Running: a.State.Running, PID: a.State.Pid, Image: a.Image, ImageName: a.ImageName,
		User: a.Config.User, Env: a.Config.Env, Mounts: a.Mounts,
	}, nil
}

package drill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/durable"
	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/report"
	"holdfast/internal/restore"
)

// What lies in the directory of a drill. The lock is held as long as the drill lives, so that one which nobody holds tells of a
// drill that was killed.
const (
	drillsDir  = "drills"      // in the state directory
	sweepFile  = "drills.lock" // beside it: locked by who begins or ends a drill, or looks for what is left
	lockFile   = "lock"
	engineFile = "engine" // names the container engine, once there may be a container
	imageFile  = "image"  // names an image that the engine is given for the drill
	serverFile = "server" // in a part's directory: number and start of the server's process
)

// place is the directory of a drill.
type place struct {
	state string
	dir   string
	lock  *os.File
}

// newPlace makes a drill's directory, after it has removed what drills left that were killed.
func newPlace(ctx context.Context, state, id string) (*place, error) {
	if err := os.MkdirAll(filepath.Join(state, drillsDir), 0o700); err != nil {
		return nil, err
	}
	unlock, err := alone(state)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := sweep(ctx, state); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Join(state, drillsDir, id))
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := hold(dir, os.O_CREATE)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &place{state, dir, lock}, nil
}

// hold locks a drill's directory as long as the file stays open.
func hold(dir string, flag int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sub makes the directory of a part.
func (p *place) sub(name string) (string, error) {
	dir := filepath.Join(p.dir, name)
	return dir, os.Mkdir(dir, 0o700)
}

// uses notes which engine may run containers of the drill.
func (p *place) uses(engine string) error {
	return os.WriteFile(filepath.Join(p.dir, engineFile), []byte(engine+"\n"), 0o600)
}

// loads notes an image before an engine is given it, and what bore its name until then: a name means one image, the one that came last.
func (p *place) loads(ctx context.Context, i restore.ServerImage) error {
	if err := p.uses(i.Engine); err != nil {
		return err
	}
	const script = `"$1" image inspect --format '{{.Id}}' "$2" 2>/dev/null || true`
	before, err := host.Output(ctx, host.Local{}, host.Cmd{Args: []string{"sh", "-euc", script, "drill", i.Engine, i.Name}, Name: i.Engine})
	if err != nil {
		return err
	}
	note := []string{i.ID, i.Name, strings.TrimSpace(string(before))}
	return os.WriteFile(filepath.Join(p.dir, imageFile), []byte(strings.Join(note, "\n")), 0o600)
}

// remove takes away all of the drill.
func (p *place) remove(ctx context.Context) error {
	unlock, err := alone(p.state)
	if err == nil {
		defer unlock()
	}
	return errors.Join(err, clear(ctx, p.dir), p.lock.Close())
}

// Sweep removes what drills that were killed left: servers, containers and directories. It returns what it removed.
func Sweep(ctx context.Context, state string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(state, drillsDir)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // there never was a drill
	}
	unlock, err := alone(state)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return sweep(ctx, state)
}

// alone waits until nobody else begins or ends a drill, or removes what is left: each would take the other's directory for a dead one's.
func alone(state string) (unlock func() error, err error) {
	return durable.Lock(filepath.Join(state, sweepFile))
}

func sweep(ctx context.Context, state string) (found []string, err error) {
	dirs, err := os.ReadDir(filepath.Join(state, drillsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, d := range dirs {
		dir, aerr := filepath.Abs(filepath.Join(state, drillsDir, d.Name()))
		lock, herr := hold(dir, os.O_CREATE)
		if errors.Is(herr, unix.EWOULDBLOCK) || errors.Is(herr, fs.ErrNotExist) {
			continue // it is at work, or has just ended
		}
		if herr == nil {
			herr = errors.Join(clear(ctx, dir), lock.Close())
		}
		found, err = append(found, dir), errors.Join(err, aerr, herr)
	}
	if err != nil {
		return found, problem.New(problem.Failed, "remove it by hand once nothing uses it", "remove what a drill left: %w", err)
	}
	return found, nil
}

// clearing is how long the removal of a drill may take, while which others wait.
const clearing = 2 * time.Minute

// clear ends what still runs in a drill's directory, and removes it.
func clear(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, clearing)
	defer cancel()
	if err := errors.Join(endContainers(ctx, dir), endServers(ctx, dir)); err != nil {
		return fmt.Errorf("end what runs in %s: %w", dir, err)
	}
	return errors.Join(unload(ctx, dir), os.RemoveAll(dir))
}

// endServers kills the servers whose processes are recorded. Number and start of a process name it for ever.
func endServers(ctx context.Context, dir string) error {
	records, err := filepath.Glob(filepath.Join(dir, "*", serverFile))
	for _, name := range records {
		var pid int
		var born string
		data, rerr := os.ReadFile(name)
		if _, serr := fmt.Sscan(string(data), &pid, &born); rerr != nil || serr != nil || pid <= 1 {
			continue // nothing was started
		}
		for bornAt(pid) == born && err == nil {
			if kerr := unix.Kill(pid, unix.SIGKILL); kerr != nil && !errors.Is(kerr, unix.ESRCH) {
				err = fmt.Errorf("kill process %d: %w", pid, kerr)
			}
			err = errors.Join(err, pause(ctx, 20*time.Millisecond))
		}
	}
	return err
}

// bornAt is when a living process started, in ticks since the machine did; "" for none.
func bornAt(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// endContainers removes those that were given a part of the directory.
func endContainers(ctx context.Context, dir string) error {
	engine, err := engineOf(dir)
	if err != nil || engine == "" {
		return err
	}
	const script = `for dir in "$2" "$2"/* "$2"/*/data; do "$1" ps -aq --filter "volume=$dir"; done | sort -u | while read -r id; do "$1" rm -f "$id" >/dev/null; done`
	return host.Run(ctx, host.Local{}, host.Cmd{Args: []string{"sh", "-euc", script, "drill", engine, dir}, Name: engine})
}

// engineOf is the engine that may run containers of the drill, "" for none.
func engineOf(dir string) (string, error) {
	name, err := os.ReadFile(filepath.Join(dir, engineFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(name)), err
}

// unloadScript takes its name from the image $2 and gives it back to the image $4 that had it, where it has not come to mean another one
// since. Then it removes the image, unless somebody else has a use for it by now: another name, a container, an image built on it.
const unloadScript = `now=$("$1" image inspect --format '{{.Id}}' "$3" 2>/dev/null) || now=
case "$now" in
*"$2") { [ -n "$4" ] && "$1" tag "$4" "$3"; } || "$1" rmi "$3" >/dev/null || true ;;
esac
names=$("$1" image inspect --format '{{range .RepoTags}}{{.}} {{end}}' "$2" 2>/dev/null) || names=gone
[ -n "$names" ] || "$1" rmi "$2" >/dev/null || true`

// unload takes from the engine what it was given for the drill.
func unload(ctx context.Context, dir string) error {
	note, err := os.ReadFile(filepath.Join(dir, imageFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	image := strings.Split(string(note), "\n")
	if err != nil || len(image) != 3 {
		return err // or it was killed before it loaded any
	}
	engine, err := engineOf(dir)
	if err != nil || engine == "" {
		return err
	}
	args := append([]string{"sh", "-euc", unloadScript, "drill", engine}, image...)
	return host.Run(ctx, host.Local{}, host.Cmd{Args: args, Name: engine})
}

// spare is room for logs and temporary files of a server, in bytes.
const spare = 512 << 20

// room refuses a drill for which there is no room, before anything is written. The copies are drilled one after the other.
func (r *run) room(components map[string]point.Component) error {
	var need int64
	for _, c := range components {
		n := c.BytesRead
		if c.Kind == point.Logical {
			n *= 3 // rows and their indexes in pages
		}
		need = max(need, n+spare)
	}
	free, err := restore.FreeBytes(r.place.dir)
	if err != nil || free >= need {
		return err
	}
	return problem.New(problem.Failed, "make room there, or set state: in holdfast.yml to a directory on a larger file system",
		"a drill of point %s needs about %s in %s, where %s are free", r.Point.ID, report.Size(need), r.place.dir, report.Size(free))
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

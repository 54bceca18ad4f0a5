package mariadb

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// place is what a backup needs to know of the machine around a server.
type place struct {
	uid, gid uint32 // owner of the datadir
	cores    int
	size     int64 // bytes that a physical copy will read, about
	free     int64 // bytes free where the datadir is
}

// placeScript measures the datadir $1. Binary logs, the write-set cache and the redo log are not copied whole.
const placeScript = `
d=$1
echo "owner=$(stat -c %u:%g "$d")"
echo "cores=$(nproc 2>/dev/null || echo 1)"
echo "free=$(df -kP "$d" | awk 'NR==2 {print $4}')"
echo "size=$(find "$d" -type f \( -name 'ib*' -o -name 'undo*' -o -path '*/*/*' \) ! -name 'ib_logfile*' ! -path '*/.*' -printf '%s\n' 2>/dev/null | awk '{s+=$1} END {printf "%.0f", s}')"
`

func (s *session) place(ctx context.Context, datadir string) (place, error) {
	out, err := host.Output(ctx, s.node.Host, host.Cmd{Args: []string{"sh", "-c", placeScript, "holdfast", datadir}})
	if err != nil {
		return place{}, fmt.Errorf("look at datadir %s: %w", datadir, err)
	}
	return parsePlace(string(out))
}

func parsePlace(out string) (place, error) {
	v := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		v[name] = value
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(v[name], 10, 64)
		return n
	}
	p := place{cores: int(number("cores")), size: number("size"), free: number("free") << 10}
	uid, gid, _ := strings.Cut(v["owner"], ":")
	u, errU := strconv.ParseUint(uid, 10, 32)
	g, errG := strconv.ParseUint(gid, 10, 32)
	if errU != nil || errG != nil {
		return p, problem.New(problem.Failed, "run Holdfast's commands on the node as root or as the server's own user",
			"the owner of the datadir cannot be read: %q", v["owner"])
	}
	p.uid, p.gid = uint32(u), uint32(g)
	return p, nil
}

// threads is how many files mariadb-backup reads at once: half the cores, so that the server keeps the other half.
func (p place) threads() int { return min(max(p.cores/2, 1), 4) }

package ceph

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"holdfast/internal/cephcmd"
	"holdfast/internal/host"
)

// decompileScript turns the CRUSH map on its stdin into text: crushtool reads and writes named files alone.
const decompileScript = `command -v crushtool >/dev/null || { echo "crushtool: not found" >&2; exit 127; }
dir=$(mktemp -d) || exit
trap 'rm -rf "$dir"' EXIT
cat >"$dir/map" && crushtool -d "$dir/map" -o "$dir/text" && cat "$dir/text"`

// ErrNoCrushtool says that a CRUSH map cannot be shown as text.
var ErrNoCrushtool = errors.New("crushtool is not installed")

// Decompile turns a CRUSH map into text, with crushtool where the cluster's other commands are.
func Decompile(ctx context.Context, c cephcmd.Cluster, compiled []byte) ([]byte, error) {
	cmd := host.Cmd{Args: []string{"sh", "-c", decompileScript}, Name: "crushtool", Stdin: bytes.NewReader(compiled)}
	out, err := host.Output(ctx, c.On, cmd)
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == programMissing {
		return nil, fmt.Errorf("%w on %s", ErrNoCrushtool, c.On)
	}
	return out, err
}

// decompile adds the CRUSH map as text, which also proves that the binary one is whole. Without crushtool the binary map and
// the one in JSON have to do.
func (c *capture) decompile(ctx context.Context) error {
	e := Entry{
		File: CrushTextFile, Command: "crushtool -d " + CrushFile, For: "the CRUSH map as text, to read, compare and change",
		Back: "crushtool -c crush/crushmap.txt -o NEW; ceph osd setcrushmap -i NEW, which moves data",
	}
	compiled := c.bodies[CrushFile]
	if compiled == nil {
		return nil
	}
	out, err := Decompile(ctx, c.cluster.Cluster, compiled)
	if errors.Is(err, ErrNoCrushtool) {
		e.State, e.Reason = Absent, err.Error()+"; "+CrushJSONFile+" shows the same"
		c.record(e)
		c.note("%s", err)
		return nil
	}
	if err != nil || !bytes.Contains(out, []byte("# end crush map")) {
		return fmt.Errorf("decompile the CRUSH map: it does not end: %w", errors.Join(err, ctx.Err()))
	}
	c.proof["crush_decompiles"] = true
	return c.put(e, out)
}

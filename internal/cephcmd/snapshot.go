package cephcmd

import (
	_ "embed"
	"encoding/json"
	"maps"

	"holdfast/internal/host"
)

//go:embed snapshot.py
var snapshotPython string

// readsAtOnce is how many reads of a snapshot are in flight when nothing else is said; it is Ceph's own default.
const readsAtOnce = 10

// reader is a command that reads a snapshot by a program of Python, which is told more beside.
func (c Cluster) reader(program string, s Spec, more map[string]any) (host.Cmd, error) {
	asked := map[string]any{"conf": c.Conf, "id": c.ID, "timeout": connectTimeout, "pool": s.Pool, "image": s.Image, "snapshot": s.Snapshot}
	maps.Copy(asked, more)
	text, err := json.Marshal(asked)
	return python(snapshotPython+program, string(text)), err
}

// python is a command that runs a program, with the interpreter that has Ceph's modules.
func python(program string, args ...string) host.Cmd {
	return host.Cmd{Args: append([]string{"sh", "-c", askShell, "ask", program}, args...), Name: "ceph"}
}

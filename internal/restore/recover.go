package restore

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/source/mariadb"
	"holdfast/internal/stream"
)

// joinTimeout is how long a node may take to become Synced; a full copy of a large datadir takes its time.
const joinTimeout = 6 * time.Hour

// Execute restores the cluster. Until the servers are stopped nothing of the old one is touched; after that an error
// says how to take the restore back.
func (k *Cluster) Execute(ctx context.Context) error {
	if err := k.stage(ctx); err != nil {
		k.discard()
		return err
	}
	if err := k.replace(ctx); err != nil {
		return &problem.Error{
			Kind: problem.KindOf(err), Op: "restore the cluster", Cause: err,
			Hint: k.afterwards(err),
		}
	}
	return nil
}

// afterwards is the hint of a restore that failed once the servers were asked to stop.
func (k *Cluster) afterwards(err error) string {
	hint := "the old datadirs are kept. To take the restore back: "
	if k.moved == 0 {
		hint = "no datadir was touched. To go on as before: "
	}
	return strings.TrimPrefix(problem.HintOf(err)+"; "+hint+strings.Join(k.undo(k.moved), "; "), "; ")
}

// stage writes and prepares the new datadir beside the old one of the first node, while the cluster may still run.
func (k *Cluster) stage(ctx context.Context) error {
	n, p, id := k.o.Nodes[0], k.places[0], k.plan.Point
	if err := k.r.step("write to "+n.Name, func() error { return k.send(ctx, n, p.staging(id)) }); err != nil {
		return problem.Wrap(err, "write the copy to", n.Name)
	}
	return k.r.step("prepare on "+n.Name, func() error {
		return errors.Join(p.prepare(ctx, n, id), p.own(ctx, n, id))
	})
}

// discard takes the staged files away again; what cannot be removed is left for the operator to see.
func (k *Cluster) discard() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = sh(ctx, k.o.Nodes[0].Machine, `rm -rf "$1"`, k.places[0].staging(k.plan.Point))
}

// send streams the tree to a directory of a machine as a tar archive, and compares what arrived.
func (k *Cluster) send(ctx context.Context, n ClusterNode, dir string) error {
	fsys, err := k.r.Vault.FS(ctx, k.plan.Point, k.component.Source)
	if err != nil {
		return err
	}
	sub, err := fs.Sub(fsys, k.component.Path)
	if err != nil {
		return err
	}
	pr, pw := io.Pipe()
	var sent sentFiles
	go func() {
		var err error
		sent, err = writeTar(pw, sub, k.r.counter("write to "+n.Name, k.size))
		pw.CloseWithError(err)
	}()
	// A feed that is cut lacks the archive's end, which tar notices. A restore that was killed leaves its directory; one
	// that runs works in it.
	const script = `for p in /proc/[0-9]*/cwd; do
	case $(readlink "$p") in
	"$1" | "$1"/*) echo "another restore of this point writes to $1" >&2; exit 1 ;;
	esac
done
rm -rf "$1" && mkdir -m 700 "$1" && cd "$1" && tar --extract --numeric-owner --same-permissions --file=- &&
find . -type f -printf '%s\n' | awk '{n++; s+=$1} END {printf "%d %.0f\n", n, s}'`
	out, err := host.Output(ctx, n.Machine, host.Cmd{Args: []string{"sh", "-c", script, "holdfast", dir}, Stdin: pr, Bulk: true})
	pr.CloseWithError(errors.New("the other side ended"))
	if err != nil {
		return err
	}
	if got, want := strings.TrimSpace(string(out)), fmt.Sprintf("%d %d", sent.files, sent.bytes); got != want {
		return fmt.Errorf("files and bytes that arrived are %s, sent were %s", got, want)
	}
	return nil
}

type sentFiles struct{ files, bytes int64 }

// writeTar writes every directory and file of fsys as a tar archive.
func writeTar(w io.Writer, fsys fs.FS, progress func(int64)) (sentFiles, error) {
	var sent sentFiles
	tw := tar.NewWriter(w)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		meta, _ := info.Sys().(stream.Meta)
		h := &tar.Header{
			Name: name, Mode: int64(meta.Mode.Perm()), Uid: int(meta.UID), Gid: int(meta.GID), ModTime: meta.ModTime,
			Typeflag: tar.TypeReg, Format: tar.FormatPAX,
		}
		if d.IsDir() {
			h.Typeflag, h.Name = tar.TypeDir, name+"/"
			return tw.WriteHeader(h)
		}
		h.Size = info.Size()
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		sent.files++
		sent.bytes += h.Size
		return copyFile(tw, fsys, name, progress)
	})
	return sent, errors.Join(err, closeIf(err == nil, tw))
}

// closeIf closes an archive that is whole; closing a broken one would give it the end that proves it whole.
func closeIf(whole bool, c io.Closer) error {
	if !whole {
		return nil
	}
	return c.Close()
}

func copyFile(w io.Writer, fsys fs.FS, name string, progress func(int64)) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(countingWriter{w, progress}, f)
	return err
}

type countingWriter struct {
	w     io.Writer
	count func(int64)
}

func (c countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.count(int64(n))
	return n, err
}

// replace stops the servers, exchanges the datadirs and brings the cluster up again.
func (k *Cluster) replace(ctx context.Context) error {
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"stop all servers", k.stopAll},
		{"move the old datadirs aside", k.exchange},
		{"start " + k.o.Nodes[0].Name + " as a new cluster", k.bootstrap},
	}
	for _, n := range k.o.Nodes[1:] {
		steps = append(steps, struct {
			name string
			do   func(context.Context) error
		}{"join " + n.Name, func(ctx context.Context) error { return k.join(ctx, n) }})
	}
	for _, s := range steps {
		if err := k.r.step(s.name, func() error { return s.do(ctx) }); err != nil {
			return err
		}
	}
	return k.r.step("check the cluster", func() error { return k.check(ctx) })
}

// stopAll stops the first node last, so that it is the one that may bootstrap should the restore be taken back.
func (k *Cluster) stopAll(ctx context.Context) error {
	for i := len(k.o.Nodes) - 1; i >= 0; i-- {
		if err := k.o.Control.Stop(ctx, k.o.Nodes[i].Node); err != nil {
			return err
		}
		if err := k.awaitEnd(ctx, k.o.Nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

// stopGrace is how long a server may take to be gone after what stopped it has returned: a process on its way out closes
// its files when its stop command sees it no more.
const stopGrace = 30 * time.Second

func (k *Cluster) awaitEnd(ctx context.Context, n ClusterNode) error {
	deadline := time.After(stopGrace)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for k.runs(ctx, n) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("the server on %s still runs after it was stopped", n.Name)
		case <-tick.C:
		}
	}
	return nil
}

func (k *Cluster) exchange(ctx context.Context) error {
	for i, n := range k.o.Nodes {
		k.moved = i + 1
		if err := k.places[i].moveAside(ctx, n); err != nil {
			return err
		}
	}
	return k.places[0].moveIn(ctx, k.o.Nodes[0], k.plan.Point)
}

func (k *Cluster) bootstrap(ctx context.Context) error {
	first := k.o.Nodes[0]
	if err := k.o.Control.Bootstrap(ctx, first.Node); err != nil {
		return err
	}
	s, err := k.await(ctx, first)
	if err != nil {
		return err
	}
	return k.o.Lineage.Add(s.ClusterUUID, text(k.component.Identity, "cluster_uuid"))
}

func (k *Cluster) join(ctx context.Context, n ClusterNode) error {
	if err := k.o.Control.Join(ctx, n.Node); err != nil {
		return err
	}
	_, err := k.await(ctx, n)
	return err
}

// await polls a node until it is a synced member of a primary component, or until no server runs there any more.
func (k *Cluster) await(ctx context.Context, n ClusterNode) (mariadb.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for silent, denied := 0, 0; ; {
		s, err := k.status(ctx, n)
		if err == nil && (s.Synced && s.Primary || !s.Galera) {
			return s, nil
		}
		if refusesLogin(err) {
			if denied++; denied >= deadAfter {
				return s, k.strange(n, err)
			}
		} else if err == nil || k.runs(ctx, n) {
			silent = 0
		} else if silent++; silent >= deadAfter {
			return s, problem.New(problem.Failed, "read the server's error log on "+n.Name, "the server on %s ended before it was Synced: %w", n.Name, err)
		}
		select {
		case <-ctx.Done():
			return s, problem.New(problem.Failed, "read the server's error log on "+n.Name, "%s is not Synced: state %q: %w", n.Name, s.State, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// strange is the error of a server that runs and does not let Holdfast in.
func (k *Cluster) strange(n ClusterNode, err error) error {
	return problem.New(problem.Failed, "accounts and passwords are again as they were when the copy was taken: give the password of user "+k.o.Login.User+
		" from then (restore files brings passwords.yml back) in holdfast.yml and run the restore again", "the restored server on %s refuses the login of %s: %w", n.Name, k.o.Login.User, err)
}

// deadAfter is how many looks must find no server, or one that refuses the login, before that counts: an engine restarts a container
// that ends, and a stopped server may be started a moment later.
const deadAfter = 15

// runs reports whether a server works in the node's datadir: its working directory is there, whatever namespaces it is
// in. On a machine that does not tell, one may.
func (k *Cluster) runs(ctx context.Context, n ClusterNode) bool {
	const script = `want=$(stat -Lc %d:%i "$1")
for p in /proc/[0-9]*; do [ "$(stat -Lc %d:%i "$p/cwd" 2>/dev/null)" = "$want" ] && exit 0; done
echo none`
	i := slices.IndexFunc(k.o.Nodes, func(have ClusterNode) bool { return have.Name == n.Name })
	out, err := host.Output(ctx, n.Machine, host.Cmd{Args: []string{"sh", "-c", script, "holdfast", k.places[i].datadir}})
	return err != nil || len(out) == 0
}

// check asserts what a restored cluster must be: all nodes in one primary component, synced.
func (k *Cluster) check(ctx context.Context) error {
	var uuid string
	for _, n := range k.o.Nodes {
		s, err := k.await(ctx, n)
		if err != nil {
			return err
		}
		if uuid == "" {
			uuid = s.ClusterUUID
		}
		if s.Galera && (s.ClusterUUID != uuid || s.ClusterSize != int64(len(k.o.Nodes))) {
			return problem.New(problem.Failed, "read the server's error log on "+n.Name, "%s is in cluster %s of %d nodes, want cluster %s of %d",
				n.Name, s.ClusterUUID, s.ClusterSize, uuid, len(k.o.Nodes))
		}
	}
	return nil
}

// refusesLogin reports whether err is a server's that does not know the user or the password.
func refusesLogin(err error) bool { return err != nil && strings.Contains(err.Error(), "ERROR 1045 ") }

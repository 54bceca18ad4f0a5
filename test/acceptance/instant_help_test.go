package acceptance

import (
	"bufio"
	"bytes"
	"crypto/sha3"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/event"
	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/restore"
	"holdfast/test/journey"
)

// instantScene is an image in a point of a vault of its own, and what it held.
type instantScene struct {
	t     *testing.T
	lab   *lab.Lab
	site  journey.Site
	op    *journey.Operator
	image string // POOL/NAME
	raw   []byte // nil when it is too large to be held
}

// newInstantScene makes an image of so many MiB, writes at some places, and takes a point.
func newInstantScene(t *testing.T, name string, mib, runs int) *instantScene {
	t.Helper()
	l := labtest.Shared(t, labtest.Hosts, labtest.EmptyCeph)
	site := journey.NewSite(t, l, func(config string) string { return config + "  include:\n    - {name: " + name + "}\n" })
	s := &instantScene{t: t, lab: l, site: site, op: journey.At(t, site), image: "volumes/" + name}
	s.rbd("create", "--size", fmt.Sprintf("%dM", mib), s.image)
	s.fill(mib, runs)
	s.op.Run("init", "--yes")
	s.op.Backup("rbd")
	return s
}

// fill writes runs of 4 MiB at random places of the image.
func (s *instantScene) fill(mib, runs int) {
	s.t.Helper()
	c := s.client(s.image)
	defer c.close()
	r := rand.New(rand.NewPCG(7, uint64(mib)))
	if mib <= 512 {
		s.raw = make([]byte, mib<<20)
	}
	for _, at := range r.Perm(mib / 4)[:runs] {
		c.write(at<<22, 4<<20, r.Uint64(), s.raw)
	}
}

// command is one of Ceph's block images.
func (s *instantScene) command(args ...string) *exec.Cmd {
	return exec.CommandContext(s.t.Context(), "rbd", append([]string{"--conf", s.lab.Ceph.Conf, "--id", "holdfast"}, args...)...)
}

func (s *instantScene) rbd(args ...string) string {
	s.t.Helper()
	cmd := s.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("rbd %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// holds compares an image with what it should hold, a part at a time.
func (s *instantScene) holds(image string, want []byte) {
	s.t.Helper()
	cmd := s.command("export", "--no-progress", image, "-")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	part, at := make([]byte, 1<<20), 0
	for {
		n, rerr := io.ReadFull(out, part)
		if rest := want[min(at, len(want)):]; !bytes.Equal(part[:n], rest[:min(n, len(rest))]) {
			s.t.Errorf("%s differs in the MiB at %d", image, at)
		}
		at += n
		if rerr != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil || at != len(want) {
		s.t.Errorf("export %s: %d bytes of %d, %v", image, at, len(want), err)
	}
}

// used is how many bytes an image takes.
func (s *instantScene) used(image string) int64 {
	s.t.Helper()
	var du struct {
		Images []struct {
			Used int64 `json:"used_size"`
		} `json:"images"`
	}
	if err := json.Unmarshal([]byte(s.rbd("du", "--format", "json", image)), &du); err != nil || len(du.Images) != 1 {
		s.t.Fatalf("rbd du: %v, %+v", err, du)
	}
	return du.Images[0].Used
}

// instant begins an instant restore.
func (s *instantScene) instant(as string) *journey.Run {
	return s.op.Start("restore", "image", "latest:rbd", s.image, "--instant", "--as", as, "--yes")
}

// depending are the restores on their way.
func (s *instantScene) depending() []restore.Dependent {
	s.t.Helper()
	all, err := restore.Dependents(s.site.State)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// ended checks that nothing is left of any instant restore but its image, and that the vault is whole.
func (s *instantScene) ended() {
	s.t.Helper()
	files, err := os.ReadDir(filepath.Join(s.site.State, "instant"))
	if err != nil || len(files) > 0 {
		s.t.Errorf("left in the state: %v, %v", files, err)
	}
	s.op.Run("verify", "latest:rbd")
}

func usable(e event.Event) bool {
	return e.Kind == event.Note && strings.Contains(e.Text, "can be used now")
}

// step fits the beginning or the end of a step whose name begins with a word.
func step(kind event.Kind, word string) func(event.Event) bool {
	return func(e event.Event) bool { return e.Kind == kind && strings.HasPrefix(e.Component, word+" ") }
}

// clientScript keeps an image open as a server does and obeys lines: write OFFSET LENGTH SEED, read OFFSET LENGTH.
const clientScript = `
import hashlib, rados, rbd, sys
conf, pool, name = sys.argv[1:]
cluster = rados.Rados(conffile=conf, rados_id="holdfast")
cluster.connect()
image = rbd.Image(cluster.open_ioctx(pool), name)
def pattern(seed, length):
    return hashlib.shake_128(seed.encode()).digest(length)
print("open", flush=True)
for line in sys.stdin:
    verb, off, length, *seed = line.split()
    off, length = int(off), int(length)
    try:
        if verb == "write":
            image.write(pattern(seed[0], length), off)
            image.flush()
            print("written", flush=True)
        else:
            print(hashlib.sha256(image.read(off, length)).hexdigest(), flush=True)
    except Exception as e:
        print("failed", e, flush=True)
image.close()
`

// client has an image open.
type client struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	log bytes.Buffer
}

func (s *instantScene) client(image string) *client {
	s.t.Helper()
	pool, name, _ := strings.Cut(image, "/")
	c := &client{t: s.t, cmd: exec.Command("/usr/bin/python3", "-c", clientScript, s.lab.Ceph.Conf, pool, name)}
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	c.cmd.Stderr = &c.log
	if err := c.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	if answer := c.next(); answer != "open" {
		s.t.Fatalf("open %s: %q", image, answer)
	}
	return c
}

func (c *client) next() string {
	if !c.out.Scan() {
		return "gone"
	}
	return c.out.Text()
}

// write writes bytes that cannot be compressed, to what the image should hold too.
func (c *client) write(off, length int, seed uint64, raw []byte) {
	c.t.Helper()
	fmt.Fprintln(c.in, "write", off, length, seed)
	if answer := c.next(); answer != "written" {
		c.t.Errorf("write %d bytes at %d: %s", length, off, answer)
	}
	if raw != nil {
		h := sha3.NewSHAKE128()
		fmt.Fprint(h, seed)
		_, _ = h.Read(raw[off : off+length]) // never fails
	}
}

// read returns the digest of a range, or why it could not be read.
func (c *client) read(off, length int) string {
	fmt.Fprintln(c.in, "read", off, length)
	return c.next()
}

func (c *client) close() {
	c.t.Helper()
	if err := c.in.Close(); err != nil {
		c.t.Error(err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("client: %v\n%s", err, c.log.String())
	}
}

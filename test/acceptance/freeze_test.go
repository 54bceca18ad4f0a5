package acceptance

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

// freezing is a server with a disk of Nova and volumes of Cinder, in two pools, that runs on a compute.
type freezing struct {
	t       *testing.T
	lab     *lab.Lab
	id      string
	compute string
	images  []string // components
	site    journey.Site
	op      *journey.Operator
}

// serversSQL are servers with a disk and several volumes that run.
const serversSQL = `SELECT i.uuid, i.host, GROUP_CONCAT(IFNULL(v._name_id, v.id)) FROM nova.instances i
  JOIN nova.block_device_mapping b ON b.instance_uuid = i.uuid AND NOT b.deleted JOIN cinder.volumes v ON v.id = b.volume_id
  WHERE NOT i.deleted AND i.vm_state = 'active' AND i.image_ref <> '' GROUP BY i.uuid HAVING COUNT(*) > 1 ORDER BY i.uuid`

// freezeTimeout is short, so that tests of servers that stand still for too long do not take long.
const freezeTimeout = 3 * time.Second

// frozenServer is the nth such server of a lab, with an operator who backs it up alone and freezes it by the stand-in.
func frozenServer(t *testing.T, l *lab.Lab, n int) *freezing {
	t.Helper()
	rows := strings.Split(strings.TrimSpace(query(t, l, "ctl1", serversSQL)), "\n")
	if len(rows) <= n {
		t.Fatalf("the lab has %d servers with a disk and volumes", len(rows))
	}
	f := strings.Fields(rows[n])
	s := &freezing{t: t, lab: l, id: f[0], compute: f[1], images: []string{"vms/" + f[0] + "_disk"}}
	config := "  include:\n    - {name: " + s.id + "_disk}\n"
	for _, v := range strings.Split(f[2], ",") {
		s.images = append(s.images, "volumes/volume-"+v)
		config += "    - {name: volume-" + v + "}\n"
	}
	config += "  freeze: {run: host, virsh: " + lab.StandInVirsh + ", timeout: 3s}\n"
	s.site = journey.NewSite(t, l, func(c string) string {
		return strings.Replace(c, "pools: [volumes, images]", "pools: [volumes, vms]", 1) + config
	})
	s.op = journey.At(t, s.site)
	s.op.Init()
	return s
}

// agent tells the stand-in how the server's guest agent is.
func (s *freezing) agent(is string) {
	s.t.Helper()
	shell(s.t, s.lab, s.compute, "mkdir -p /run/stand-in-virsh; echo '"+is+"' >/run/stand-in-virsh/"+s.id)
}

// write changes one of the server's images.
func (s *freezing) write(component string, seed int) {
	s.t.Helper()
	pool, name, _ := strings.Cut(component, "/")
	change := &lab.Image{Pool: pool, Name: name}
	if err := s.lab.ChangeImages(s.t.Context(), change.Do("write", 1<<20, 64<<10, seed)); err != nil {
		s.t.Fatal(err)
	}
}

// deed is what the stand-in did to the server.
type deed struct {
	at   time.Time
	what string // frozen or thawed
}

func (s *freezing) deeds() (all []deed) {
	s.t.Helper()
	f, err := os.Open(filepath.Join(s.lab.HostDir(s.compute), "var-log-kolla/stand-in-virsh.log"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		word := strings.Fields(lines.Text())
		at, err := strconv.ParseFloat(word[0], 64)
		if err != nil {
			s.t.Fatal(err)
		}
		if word[2] == s.id {
			all = append(all, deed{time.UnixMicro(int64(at * 1e6)), word[1]})
		}
	}
	return all
}

// await waits until the stand-in did something as often as that.
func (s *freezing) await(what string, count int) deed {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		did := slices.DeleteFunc(s.deeds(), func(d deed) bool { return d.what != what })
		if len(did) >= count {
			tick.Stop()
			return did[count-1]
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("after a minute the server was %s %d times: %v", what, len(did), s.deeds())
		}
	}
}

// words fails the test unless all images of a point are as consistent as that. Frozen ones name the freeze.
func (s *freezing) words(p point.Point, consistency, freeze string) {
	s.t.Helper()
	if p.State != point.Complete {
		s.t.Errorf("the point is %s", p.State)
	}
	for _, name := range s.images {
		c, _ := p.Component("rbd", name)
		got, _ := c.Proof["freeze"].(string)
		if c.State != point.Good || c.Proof["consistency"] != consistency || got != freeze || c.Identity["server"] != s.id {
			s.t.Errorf("%s is %s, %v of %v, freeze %q, notes %q", name, c.State, c.Proof["consistency"], c.Identity["server"], got, c.Notes)
		}
		if skew, ok := c.Proof["server_skew_seconds"].(float64); !ok || skew <= 0 || skew > 60 || c.Proof["server_images"] != float64(len(s.images)) {
			s.t.Errorf("%s: %v", name, c.Proof)
		}
	}
}

// noted fails the test unless an image that was captured says why its server was not frozen.
func (s *freezing) noted(p point.Point, why string) {
	s.t.Helper()
	for _, name := range s.images {
		if c, _ := p.Component("rbd", name); len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "server "+s.id+" was not frozen: ") || !strings.Contains(c.Notes[0], why) {
			s.t.Errorf("%s does not say %q: %q", name, why, c.Notes)
		}
	}
}

// TestServersStandStill takes the images of servers together, with all that can go wrong about it.
func TestServersStandStill(t *testing.T) {
	l := labtest.New(t, labtest.Nodes(1), labtest.Ceph)
	for n, test := range []struct {
		name string
		do   func(*freezing)
	}{
		{"frozen", (*freezing).frozen}, {"agent missing", (*freezing).agentMissing}, {"freezing hangs", (*freezing).hangs},
		{"frozen for too long", (*freezing).tooLong}, {"killed while frozen", (*freezing).killed}, {"cut off while frozen", (*freezing).cutOff},
	} {
		t.Run(test.name, func(t *testing.T) { test.do(frozenServer(t, l, n)) })
	}
	t.Run("doctor", func(t *testing.T) { frozenServer(t, l, 0).doctor() })
}

func (s *freezing) frozen() {
	first := s.op.Backup("rbd")
	s.words(first, "frozen", first.ID)
	froze, thawed := s.await("frozen", 1).at, s.await("thawed", 1).at
	for _, name := range s.images {
		if c, _ := first.Component("rbd", name); c.At == nil || c.At.Before(froze) || c.At.After(thawed) {
			s.t.Errorf("%s is as of %v, and the server stood still from %v to %v", name, c.At, froze, thawed)
		}
	}
	line := regexp.MustCompile(`(?m)^` + s.id + ` +server-\d+ +` + strconv.Itoa(len(s.images)) + ` +frozen +\d`)
	if out := s.op.Run("show", first.ID); !line.MatchString(out) {
		s.t.Errorf("show tells nothing of the server:\n%s", out)
	}
	second := s.op.Backup("rbd")
	s.words(second, "frozen", first.ID)
	if len(s.deeds()) != 2 {
		s.t.Errorf("a server none of whose images changed was touched: %v", s.deeds())
	}
	s.write(s.images[1], 5)
	third := s.op.Backup("rbd")
	s.words(third, "frozen", third.ID)
	for _, name := range s.images {
		if c, _ := third.Component("rbd", name); c.Mode != point.Incremental || len(c.Notes) > 0 {
			s.t.Errorf("%s is %s, %q", name, c.Mode, c.Notes)
		}
	}
}

func (s *freezing) agentMissing() {
	s.words(s.op.Backup("rbd"), "frozen", s.op.Points()[0])
	s.agent("missing")
	s.write(s.images[1], 6)
	p := s.op.Backup("rbd")
	s.words(p, "crash", "")
	s.noted(p, "QEMU guest agent is not connected")
	for n, name := range s.images {
		if c, _ := p.Component("rbd", name); (c.Mode == point.Unchanged) != (n != 1) {
			s.t.Errorf("%s is %s", name, c.Mode)
		}
	}
	s.agent("0")
	last := s.op.Backup("rbd") // nothing changed, but its copies are not of one moment
	s.words(last, "frozen", last.ID)
}

func (s *freezing) hangs() {
	s.agent("6")
	began := time.Now()
	p := s.op.Backup("rbd")
	s.words(p, "crash", "")
	s.noted(p, "it did not stand still within 3s")
	if froze, thawed := s.await("frozen", 1), s.await("thawed", 1); thawed.at.Before(froze.at) || froze.at.Before(began) {
		s.t.Errorf("what froze in the end did not go on: %v", s.deeds())
	}
}

func (s *freezing) tooLong() {
	run := s.op.Start("backup", "rbd")
	snap := run.FreezeChild(0, s.snapping)
	held := s.await("thawed", 1).at.Sub(s.await("frozen", 1).at)
	if held > freezeTimeout+2*time.Second {
		s.t.Errorf("the server stood still for %v", held)
	}
	snap.Continue()
	if r := run.Wait(); r.Code != 0 {
		s.t.Errorf("the backup ended with %d: %s", r.Code, r.Stderr)
	}
	p := s.op.Show("latest:rbd")
	s.words(p, "crash", "")
	s.noted(p, "had to go on after 3s")
}

// snapping is the making of a snapshot.
func (s *freezing) snapping(p journey.Process) bool {
	return p.Name() == "rbd" && p.Has("snap") && p.Has("create")
}

// letGo waits until nobody holds the images: one who was killed does for half a minute, in which no snapshot is made.
func (s *freezing) letGo() {
	s.t.Helper()
	deadline := time.After(time.Minute)
	for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
		held := slices.ContainsFunc(s.images, func(name string) bool {
			out, err := s.lab.Rbd(s.t.Context(), "status", name)
			return err != nil || strings.Contains(out, "watcher=")
		})
		if !held {
			return
		}
		select {
		case <-deadline:
			s.t.Fatal("somebody holds the images")
		default:
		}
	}
}

func (s *freezing) killed() {
	run := s.op.Start("backup", "rbd")
	run.FreezeChild(0, s.snapping)
	froze := s.await("frozen", 1)
	children, alive := run.Kill()
	if !alive {
		s.t.Fatal("the backup had ended before it was killed")
	}
	if thawed := s.await("thawed", 1); thawed.at.Sub(froze.at) > freezeTimeout+2*time.Second {
		s.t.Errorf("the server stood still from %v to %v", froze.at, thawed.at)
	}
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); slices.ContainsFunc(children, journey.Process.Alive); <-tick.C {
		if time.Now().After(deadline) {
			s.t.Fatalf("left running: %v", children)
		}
	}
	s.letGo()
	p := s.op.Backup("rbd")
	s.words(p, "frozen", p.ID)
	for _, name := range s.images {
		out, err := s.lab.Rbd(s.t.Context(), "snap", "ls", name)
		if n := strings.Count(out, "backup.holdfast-"); err != nil || n != 1 {
			s.t.Errorf("%s has %d snapshots of ours: %v", name, n, err)
		}
	}
}

// cutOff ends the connections to the compute while the server stands still. It goes on then, and the point says what is not
// known of it.
func (s *freezing) cutOff() {
	run := s.op.Start("backup", "rbd")
	snap := run.FreezeChild(0, s.snapping)
	froze := s.await("frozen", 1)
	for _, p := range journey.OnHosts(s.lab) {
		if p.Host == s.compute && strings.HasPrefix(p.Args[0], "sshd: ") && !strings.Contains(p.Args[0], "[listener]") {
			p.Signal(s.t, syscall.SIGKILL)
		}
	}
	if thawed := s.await("thawed", 1); thawed.at.Sub(froze.at) > freezeTimeout+2*time.Second {
		s.t.Errorf("the server stood still from %v to %v", froze.at, thawed.at)
	}
	snap.Continue()
	if r := run.Wait(); r.Code != 0 || !strings.Contains(r.Stderr, "make sure that server "+s.id+" goes on, with virsh domfsthaw on "+s.compute) {
		s.t.Errorf("the backup ended with %d: %s", r.Code, r.Stderr)
	}
	p := s.op.Show("latest:rbd")
	s.words(p, "crash", "")
	if c, _ := p.Component("rbd", s.images[0]); len(c.Notes) != 2 || !strings.Contains(c.Notes[0], "its compute was lost before the snapshots were there") {
		s.t.Errorf("noted: %q", c.Notes)
	}
}

// doctor looks for what freezes.
func (s *freezing) doctor() {
	if out := s.op.Try("doctor").Stdout; !strings.Contains(out, "virsh is there on 2 computes") || !strings.Contains(out, "all of which are in the inventory") {
		s.t.Errorf("doctor says nothing of freezing:\n%s", out)
	}
	text := strings.ReplaceAll(read(s.t, s.site.Config), lab.StandInVirsh, "/no/virsh")
	write(s.t, s.site.Config, text)
	query(s.t, s.lab, "ctl1", "UPDATE nova.instances SET host = 'elsewhere' WHERE uuid = '"+s.id+"'")
	out := s.op.Try("doctor").Stdout
	for _, says := range []string{"/no/virsh", "has no compute elsewhere", "correct run, container and virsh"} {
		if !strings.Contains(out, says) {
			s.t.Errorf("doctor does not say %q:\n%s", says, out)
		}
	}
}

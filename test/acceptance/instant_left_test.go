package acceptance

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/host"
)

// TestInstantRestoreAfterACutPrepare resumes a restore whose prepare was cut off between making the image and tying it to
// its source, and one in whose place something else was made meanwhile.
func TestInstantRestoreAfterACutPrepare(t *testing.T) {
	s := newInstantScene(t, "cut", 128, 10)
	s.cutPrepare("vms/cut")
	s.rbd("create", "--size", "128M", "vms/cut")
	s.op.Run("restore", "resume")
	s.holds("vms/cut", s.raw)
	s.ended()

	s.cutPrepare("vms/other")
	s.rbd("create", "--size", "128M", "vms/other")
	want := make([]byte, 128<<20)
	c := s.client("vms/other")
	c.write(5<<20, 4096, 1, want)
	c.close()
	s.op.Fails(1, []string{"vms/other was made by something else"}, "restore", "resume")
	s.op.Fails(1, []string{"vms/other was made by something else"}, "restore", "abort", s.depending()[0].ID)
	s.holds("vms/other", want)
	s.rbd("rename", "vms/other", "vms/kept")
	s.op.Run("restore", "abort", s.depending()[0].ID)
	s.ended()
}

// TestInstantRestoreAfterHalfAPrepare resumes and aborts restores whose prepare was killed between two steps of its own, which Ceph tries to
// open without end.
func TestInstantRestoreAfterHalfAPrepare(t *testing.T) {
	s := newInstantScene(t, "half", 128, 10)
	s.rbd("create", "--size", "8M", "vms/beside")
	s.halfPrepare("vms/half")
	s.listedBesides("half")
	s.rbd("rm", "vms/beside")
	s.op.Run("restore", "resume")
	s.holds("vms/half", s.raw)
	s.ended()
	s.halfPrepare("vms/undone")
	s.op.Run("restore", "abort", s.depending()[0].ID)
	if list := s.rbd("ls", "vms"); strings.Contains(list, "undone") {
		t.Errorf("still there: %s", list)
	}
	s.ended()
}

// listedBesides asks for all images of the pool vms, one of which never answers.
func (s *instantScene) listedBesides(stuck string) {
	s.t.Helper()
	c := cephcmd.Cluster{Name: "ceph", On: host.Local{}, Conf: s.lab.Ceph.Conf, ID: cephcmd.DefaultID}
	answers, err := c.Ask(s.t.Context(), cephcmd.ImagesOf("vms", 5*time.Second), cephcmd.Mon("fsid"))
	if err != nil {
		s.t.Fatal(err)
	}
	var pool struct {
		Contents []struct {
			Images []struct {
				Name    string
				ID      string
				Unknown map[string]struct{ Said string }
			}
		}
	}
	if err := json.Unmarshal(answers[0].Body, &pool); err != nil || len(pool.Contents) != 1 || len(answers[1].Body) == 0 {
		s.t.Fatalf("%v in %q; %q", err, answers[0].Body, answers[1].Body)
	}
	known := 0
	for _, i := range pool.Contents[0].Images {
		switch said := i.Unknown["image"].Said; {
		case i.Name == stuck && said != "no answer within 5 seconds", i.Name != stuck && (i.ID == "" || said != ""):
			s.t.Errorf("%+v", i)
		case i.Name != stuck:
			known++
		}
	}
	if known == 0 || known != len(pool.Contents[0].Images)-1 {
		s.t.Errorf("%d images are known of %+v", known, pool)
	}
}

// halfPrepare leaves the state of a restore whose prepare was killed, and the image as it is then: it says that it is being prepared.
func (s *instantScene) halfPrepare(image string) {
	s.t.Helper()
	run := s.instant(image)
	if _, ok := run.Await(usable); !ok {
		s.t.Fatalf("never usable: %+v", run.Wait())
	}
	d := s.depending()[0]
	file := filepath.Join(s.site.State, "instant", d.ID+".json")
	s.frozen(run, func() {
		record, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		s.unplan(file, record)
		run.Kill()
	})
	pool, name, _ := strings.Cut(image, "/")
	rados := func(args ...string) []byte {
		out, err := exec.CommandContext(s.t.Context(), "rados", append([]string{"-c", s.lab.Ceph.Conf, "-p", pool}, args...)...).Output()
		if err != nil {
			s.t.Fatalf("rados %q: %v", args, err)
		}
		return out
	}
	header := "rbd_header." + string(rados("get", "rbd_id."+name, "-")[4:])
	value := rados("getomapval", header, "migration", "/dev/stdout")
	// Before the state, a byte, which 1 says is being prepared: version (6), type (1), pool (8), three texts and a map with their lengths,
	// overlap (8), two flags.
	at := 6 + 1 + 8
	for range 3 {
		at += 4 + int(binary.LittleEndian.Uint32(value[at:]))
	}
	at += 4 + 16*int(binary.LittleEndian.Uint32(value[at:])) + 8 + 2
	if value[at] != 2 && value[at] != 3 {
		s.t.Fatalf("the state is %d at %d of %q", value[at], at, value)
	}
	value[at] = 1
	changed := filepath.Join(s.t.TempDir(), "migration")
	if err := os.WriteFile(changed, value, 0o600); err != nil {
		s.t.Fatal(err)
	}
	rados("setomapval", header, "migration", "--input-file", changed)
}

// TestInstantRestoreWhoseImageIsReplaced takes no other image for the one that it had made usable.
func TestInstantRestoreWhoseImageIsReplaced(t *testing.T) {
	s := newInstantScene(t, "replaced", 128, 10)
	file, record := s.cutUsable("vms/replaced")
	if err := os.WriteFile(file, record, 0o600); err != nil {
		t.Fatal(err)
	}
	s.rbd("create", "--size", "128M", "vms/replaced")
	s.op.Fails(1, []string{"vms/replaced was made by something else"}, "restore", "resume")
	s.op.Fails(1, []string{"vms/replaced was made by something else"}, "restore", "abort", s.depending()[0].ID, "--discard-writes")
	s.rbd("rm", "vms/replaced")
	s.op.Fails(1, []string{"vms/replaced is gone"}, "restore", "resume")
	s.op.Run("restore", "abort", s.depending()[0].ID, "--discard-writes")
	s.ended()
}

// TestInstantRestoreGoesOnWithTheDaemon: the next start of the daemon serves again what was cut off, and brings it to its end.
func TestInstantRestoreGoesOnWithTheDaemon(t *testing.T) {
	s := newInstantScene(t, "again", 256, 60)
	run := s.instant("vms/again")
	if _, ok := run.Await(usable); !ok {
		t.Fatalf("never usable: %+v", run.Wait())
	}
	s.op.Fails(1, []string{"vms/again depends on Holdfast"}, "status")
	run.Kill()
	s.op.Fails(1, []string{"NOTHING SERVES IT"}, "status")
	daemon := s.op.Start("serve")
	for deadline := time.Now().Add(2 * time.Minute); len(s.depending()) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			daemon.Kill()
			t.Fatalf("still on its way: %+v", daemon.Wait())
		}
	}
	daemon.Kill()
	s.holds("vms/again", s.raw)
	s.ended()
}

// cutPrepare leaves the state of a restore whose prepare had no effect yet.
func (s *instantScene) cutPrepare(image string) {
	s.t.Helper()
	file, record := s.cutUsable(image)
	s.unplan(file, record)
}

// unplan writes the record of a usable image as it was before the image was.
func (s *instantScene) unplan(file string, record []byte) {
	s.t.Helper()
	record = bytes.Replace(record, []byte(`"stage": "usable"`), []byte(`"stage": "planned"`), 1)
	at := strings.Index(string(record), `,
  "usable_since"`)
	if err := os.WriteFile(file, append(record[:at:at], "\n}\n"...), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// cutUsable returns the state that a restore keeps while its image is usable, and where; the restore is killed and undone.
func (s *instantScene) cutUsable(image string) (file string, record []byte) {
	s.t.Helper()
	run := s.instant(image)
	if _, ok := run.Await(usable); !ok {
		s.t.Fatalf("never usable: %+v", run.Wait())
	}
	d := s.depending()[0]
	file = filepath.Join(s.site.State, "instant", d.ID+".json")
	s.frozen(run, func() {
		var err error
		if record, err = os.ReadFile(file); err != nil {
			s.t.Fatal(err)
		}
		run.Kill()
	})
	s.op.Run("restore", "abort", d.ID, "--discard-writes")
	return file, record
}

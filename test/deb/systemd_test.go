package deb

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/lab/labtest"
	"holdfast/test/journey"
)

// apart starts a script as the first process of namespaces and of a control group of its own.
const apart = `set -e
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$1/groups"
mkdir "$1/groups/$2"
echo $$ >"$1/groups/$2/cgroup.procs"
exec unshare --pid --fork --kill-child --cgroup --uts --ipc --net sh -c "$4" sh "$1/over" "$3"`

// boot starts systemd in an overlay that shows the directory $2 as /srv/lab. The settings of this machine's kernel and its
// devices cannot be changed there, and of its services none is started.
const boot = `read -r pid rest </proc/self/stat
` + overlay + `
cd "$1/root"
mount --bind -o ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 holdfast-deb dev
for d in null zero full random urandom tty; do : >dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 holdfast-deb dev/shm
rm -rf etc/systemd/system
mkdir -p etc/systemd/system srv/lab
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >etc/systemd/system/holdfast-test.target
mount --bind -o ro "$2" srv/lab
pivot_root . mnt
cd /
umount -l /mnt
echo "$pid"
exec env -i container=holdfast PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=holdfast-test.target --log-target=null`

// removeGroup removes a control group with those below it.
const removeGroup = `mount -t cgroup2 cgroup2 "$1" && find "$1/$2" -depth -type d -exec rmdir {} + && [ ! -e "$1/$2" ]`

// newMachine is a root with a real systemd in it.
func newMachine(t *testing.T, lab string) *root {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"over", "groups"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	group := fmt.Sprintf("holdfast-deb-%d", os.Getpid())
	cmd := exec.Command("sh", "-c", apart, "sh", dir, group, lab, boot)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		until(t, "its processes are gone", func() bool {
			return exec.Command("unshare", "--mount", "sh", "-c", removeGroup, "sh", filepath.Join(dir, "groups"), group).Run() == nil
		})
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	pid, perr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || perr != nil {
		t.Fatalf("boot systemd: %v: %q %s", err, line, stderr.String())
	}
	m := &root{
		enter: []string{"nsenter", "--target", strconv.Itoa(pid), "--all", "--"},
		files: filepath.Join("/proc", strconv.Itoa(pid), "root"),
	}
	until(t, "systemd is up", func() bool {
		state, _ := m.try(t, "systemctl is-system-running --wait")
		return strings.HasPrefix(state, "running") || strings.HasPrefix(state, "degraded")
	})
	return m
}

// until waits for what another process brings about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// unit returns a property of a unit.
func (r *root) unit(t *testing.T, name, property string) string {
	t.Helper()
	return r.run(t, "systemctl show --value -p "+property+" "+name)
}

// aSite makes a vault with a point of a database, and returns its directory in the lab and its configuration for the machine.
func aSite(t *testing.T) (lab, config, commands string) {
	t.Helper()
	l := labtest.New(t, labtest.Nodes(1))
	site := journey.NewSite(t, l, nil)
	op := journey.At(t, site)
	op.Init()
	op.Backup("mariadb", "kolla")
	text, err := os.ReadFile(site.Config)
	if err != nil {
		t.Fatal(err)
	}
	config = strings.NewReplacer(
		site.Vault, "/var/lib/holdfast/vault", site.State, "/var/lib/holdfast", site.Passphrase, "passphrase", l.Options.Dir, "/srv/lab",
	).Replace(string(text)) + "\nschedule:\n  check: {when: monthly 2 05:00, do: [verify --all]}\n"
	from := "/srv/lab/" + filepath.Base(site.Dir)
	return l.Options.Dir, config, "cp " + from + "/passphrase /etc/holdfast/ && cp -a " + from + "/vault /var/lib/holdfast/"
}

// servers lists those that run in a drill.
const servers = "pgrep --full --list-full '^[^ ]*(mariadbd|mysqld) .*--datadir='"

// TestUnderSystemd has a real systemd run the units with all that they forbid: the daemon, a job of it and of a timer's, and a drill.
func TestUnderSystemd(t *testing.T) {
	lab, config, commands := aSite(t)
	m := newMachine(t, lab)
	m.install(t, pkg(t))
	m.run(t, commands)
	m.write(t, config, "/etc/holdfast/holdfast.yml")
	m.run(t, "holdfast config check && systemctl start holdfast")
	if got := m.unit(t, "holdfast", "StatusText"); got != "keeps the schedule" {
		t.Errorf("the daemon says %q", got)
	}
	t.Run("a drill of the daemon's", func(t *testing.T) {
		m.run(t, "holdfast queue run drill")
		m.comes(t, "drill mariadb --all-shards", "done")
	})
	t.Run("a broken reload", func(t *testing.T) {
		before := m.unit(t, "holdfast", "MainPID")
		m.write(t, "cloud: [\n", "/etc/holdfast/holdfast.yml")
		m.run(t, "systemctl reload holdfast")
		until(t, "the journal tells of it", func() bool {
			return strings.Contains(m.run(t, "journalctl -u holdfast --no-pager"), "/etc/holdfast/holdfast.yml:")
		})
		m.write(t, config, "/etc/holdfast/holdfast.yml")
		m.run(t, "systemctl reload holdfast && holdfast queue")
		if after := m.unit(t, "holdfast", "MainPID"); after != before {
			t.Errorf("process %s, was %s", after, before)
		}
	})
	t.Run("killed", func(t *testing.T) {
		m.run(t, "kill -9 $(systemctl show --value -p MainPID holdfast)")
		until(t, "it is to be started again", func() bool { return m.unit(t, "holdfast", "SubState") == "auto-restart" })
		m.run(t, "systemctl restart holdfast && holdfast queue") // which does not wait for that
	})
	t.Run("stopped in a drill", func(t *testing.T) {
		m.run(t, "holdfast queue run drill")
		until(t, "a server runs", func() bool { _, code := m.try(t, servers); return code == 0 })
		m.run(t, "systemctl stop holdfast")
		if result := m.unit(t, "holdfast", "Result"); result != "success" {
			t.Errorf("the daemon ended with %s", result)
		}
		if left, _ := m.try(t, servers+"; ls /var/lib/holdfast/drills"); strings.TrimSpace(left) != "" {
			t.Errorf("left of the drill: %s", left)
		}
	})
	for _, job := range []string{"check", "drill"} {
		t.Run("the timer's "+job, func(t *testing.T) {
			out, code := m.try(t, "systemctl start holdfast-run@"+job)
			if code != 0 || m.unit(t, "holdfast-run@"+job, "Result") != "success" {
				t.Errorf("it ended with %d: %s\n%s", code, out, m.run(t, "journalctl -u holdfast-run@"+job+" --no-pager"))
			}
		})
	}
	t.Run("timers", func(t *testing.T) {
		m.run(t, "systemctl enable --now holdfast-run@database.timer")
		if got := m.run(t, "systemctl list-timers --no-legend"); !strings.Contains(got, "holdfast-run@database.service") {
			t.Errorf("the timers are %q", got)
		}
	})
}

// comes waits for the end of a step of the daemon's, and demands that it ends as it should.
func (r *root) comes(t *testing.T, step, want string) {
	t.Helper()
	var line string
	until(t, step+" ends", func() bool {
		for l := range strings.Lines(r.run(t, "holdfast queue results")) {
			if strings.Contains(l, " "+step+" ") {
				line = l
			}
		}
		return line != ""
	})
	if !strings.Contains(line, want) {
		t.Errorf("%s\n%s", line, r.run(t, "journalctl -u holdfast --no-pager"))
	}
}

func (r *root) write(t *testing.T, text, to string) {
	t.Helper()
	if err := os.WriteFile(r.inside(to), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

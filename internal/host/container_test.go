package host_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/host"
)

// TestContainer holds both ways into a container, on this machine and over ssh, to what every host must do.
func TestContainer(t *testing.T) {
	for name, start := range engines {
		t.Run(name, func(t *testing.T) { testContainer(t, start(t)) })
	}
}

func testContainer(t *testing.T, d *engine) {
	s := startSSHD(t)
	d.up(t, "mariadb", "--env", "GREETING=hello there")
	for _, enter := range []string{host.EnterExec, host.EnterNsenter} {
		for _, on := range []host.Host{host.Local{}, s.host(t, "id", "known")} {
			c := d.container(on, "mariadb", enter)
			t.Run(enter+" on "+on.String(), func(t *testing.T) {
				conform(t, func(*testing.T) host.Host { return c })
				testContainerEnvironment(t, c)
			})
		}
	}
}

func (d *engine) container(on host.Host, name, enter string) host.Container {
	return host.Container{On: on, Engine: d.command[0], EngineArgs: d.command[1:], Name: name, Enter: enter}
}

func testContainerEnvironment(t *testing.T, c host.Container) {
	got := output(t, c, host.Cmd{Args: []string{"sh", "-c", `echo "$GREETING $INSIDE $HOME"; env | grep -c '^SSH_' || true; ls / | grep -c work || true`}})
	if want := "hello there yes /root\n0\n0\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestContainerUser(t *testing.T) {
	for name, start := range engines {
		t.Run(name, func(t *testing.T) { testContainerUser(t, start(t)) })
	}
}

func testContainerUser(t *testing.T, d *engine) {
	d.up(t, "asroot")
	d.up(t, "asgames", "--user", "5:60")
	for _, enter := range []string{host.EnterExec, host.EnterNsenter} {
		for _, c := range []struct{ name, user, want string }{
			{"asroot", "", "0 0"}, {"asroot", "nobody", "65534 65534"}, {"asroot", "7:9", "7 9"}, {"asroot", "games:3", "5 3"},
			{"asgames", "", "5 60"}, {"asgames", "0", "0 0"}, {"asgames", "root", "0 0"},
		} {
			h := d.container(host.Local{}, c.name, enter)
			h.User = c.user
			cmd := host.Cmd{Args: []string{"sh", "-c", "echo $(id -u) $(id -g) $INSIDE; cat /dev/fd/3"}, Secret: option()}
			if got, want := output(t, h, cmd), c.want+" yes\n"+option().Reveal(); got != want {
				t.Errorf("%s %s as %q: got %q, want %q", enter, c.name, c.user, got, want)
			}
		}
	}
}

func TestPodmanProblems(t *testing.T) {
	d := startPodman(t)
	d.up(t, "halted")
	d.run(t, "stop", "-t", "5", "halted")
	for name, cause := range map[string]string{"nowhere": "podman on local has no container nowhere", "halted": "container halted of podman on local is not running"} {
		err := host.Run(within(t, 30*time.Second), d.container(host.Local{}, name, ""), host.Cmd{Args: []string{"true"}})
		if !errors.Is(err, host.ErrNoTrailer) || err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), d.command[0], "podman"), cause) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestContainerProblems(t *testing.T) {
	d := startDocker(t)
	d.up(t, "halted")
	d.run(t, "stop", "-t", "5", "halted")
	noEngine := d.container(host.Local{}, "x", "")
	noEngine.Engine = "no-such-engine"
	deaf := d.container(host.Local{}, "x", "")
	deaf.EngineArgs = []string{"--host", "unix:///nonexistent.sock"}
	for name, c := range map[string]struct {
		h           host.Container
		cause, hint string
	}{
		"absent":    {d.container(host.Local{}, "nowhere", ""), "docker on local has no container nowhere", "ps -a"},
		"stopped":   {d.container(host.Local{}, "halted", ""), "container halted of docker on local is not running", "start it"},
		"no engine": {noEngine, "local has no no-such-engine", "install"},
		"no daemon": {deaf, "Cannot connect to the Docker daemon", "check that docker runs"},
	} {
		err := host.Run(within(t, 30*time.Second), c.h, host.Cmd{Args: []string{"true"}})
		if !errors.Is(err, host.ErrNoTrailer) || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s: got %v", name, err)
		}
		wantHint(t, err, c.hint)
	}
	_, err := d.container(host.Local{}, "nowhere", "").Inspect(t.Context())
	if err == nil || !strings.Contains(err.Error(), "has no container nowhere") {
		t.Errorf("inspect: got %v", err)
	}
}

func TestContainerInspect(t *testing.T) {
	for name, start := range engines {
		t.Run(name, func(t *testing.T) { testContainerInspect(t, start(t)) })
	}
}

func testContainerInspect(t *testing.T, d *engine) {
	d.up(t, "mariadb", "--env", "A=b c", "--user", "games", "-v", "data:/var/lib/mysql", "-v", "/usr/share:/mnt:ro")
	info, err := d.container(host.Local{}, "mariadb", "").Inspect(t.Context())
	must(t, err)
	if info.PID == 0 || !info.Running || len(info.ID) != 64 || !strings.HasPrefix(info.Image, "sha256:") {
		t.Errorf("got %+v", info)
	}
	type short struct {
		Image, User string
		Env         []string
	}
	want := short{image, "games", []string{"A=b c", "INSIDE=yes"}}
	var env []string
	for _, e := range info.Env {
		if own := []string{"PATH", "TERM", "HOSTNAME", "HOME", "container"}; !slices.ContainsFunc(own, func(name string) bool { return strings.HasPrefix(e, name+"=") }) {
			env = append(env, e)
		}
	}
	slices.Sort(env)
	if d := cmp.Diff(want, short{info.ImageName, info.User, env}); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	mounts := map[string]host.Mount{}
	for _, m := range info.Mounts {
		m.Source = strings.TrimPrefix(m.Source, "/")
		mounts[m.Destination] = m
	}
	if m := mounts["/var/lib/mysql"]; m.Name != "data" || m.Type != "volume" || !m.RW {
		t.Errorf("volume: %+v", m)
	}
	if d := cmp.Diff(host.Mount{Type: "bind", Source: "usr/share", Destination: "/mnt"}, mounts["/mnt"]); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestContainerStops ends the container under a running command.
func TestContainerStops(t *testing.T) {
	for name, start := range engines {
		t.Run(name, func(t *testing.T) { testContainerStops(t, start(t)) })
	}
}

func testContainerStops(t *testing.T, d *engine) {
	for _, enter := range []string{host.EnterExec, host.EnterNsenter} {
		d.up(t, enter)
		p, word := started(t, context.Background(), d.container(host.Local{}, enter, enter), nil)
		d.run(t, "kill", enter)
		if err := p.Wait(); err == nil {
			t.Errorf("%s: the end of the container went unnoticed", enter)
		}
		wantGone(t, word)
	}
}

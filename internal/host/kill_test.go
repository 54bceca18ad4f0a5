package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"holdfast/internal/host"
)

// helper describes what a second copy of this test program runs, to be killed.
type helper struct {
	SSH       *host.SSH
	Container *host.Container
	Args      []string
}

func (h helper) host() host.Host {
	var on host.Host = host.Local{}
	if h.SSH != nil {
		on = *h.SSH
	}
	if h.Container != nil {
		h.Container.On = on
		return *h.Container
	}
	return on
}

const helperEnv = "HOST_TEST_HELPER"

func TestMain(m *testing.M) {
	if text := os.Getenv(helperEnv); text != "" {
		help(text)
	}
	os.Exit(m.Run())
}

func help(text string) {
	var h helper
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		panic(err)
	}
	p, err := h.host().Start(context.Background(), host.Cmd{Args: h.Args})
	if err != nil {
		panic(err)
	}
	_, _ = bufio.NewReader(p.Stdout()).WriteTo(os.Stdout)
	panic(fmt.Sprint("the command ended: ", p.Wait()))
}

// TestKilled kills -9 a program that runs commands through every kind of host, and finds that they die too.
func TestKilled(t *testing.T) {
	d := startDocker(t)
	s := startSSHD(t).host(t, "id", "known")
	d.up(t, "mariadb")
	byExec, byNsenter := d.container(nil, "mariadb", host.EnterExec), d.container(nil, "mariadb", host.EnterNsenter)
	for name, h := range map[string]helper{
		"local": {}, "ssh": {SSH: &s},
		"exec": {Container: &byExec}, "exec over ssh": {SSH: &s, Container: &byExec},
		"nsenter": {Container: &byNsenter}, "nsenter over ssh": {SSH: &s, Container: &byNsenter},
	} {
		t.Run(name, func(t *testing.T) { testKilled(t, h) })
	}
}

func testKilled(t *testing.T, h helper) {
	word, args := stubborn(t)
	h.Args = args
	text, err := json.Marshal(h)
	must(t, err)
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), helperEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line != "up\n" {
		t.Errorf("got %q", line)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	wantGone(t, word)
}

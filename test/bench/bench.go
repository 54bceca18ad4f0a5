package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/lab"
	"holdfast/internal/point"
)

// bench is one lab and what is measured on it.
type bench struct {
	options
	ctx     context.Context
	lab     *lab.Lab
	dir     string // scratch, on the disk that is measured
	results *results
	peak    map[string]int64 // Holdfast's own peak memory in bytes, by what it did
	vaults  int
}

func setUp(ctx context.Context, o options, dir string, lo lab.Options, r *results) (*bench, error) {
	b := &bench{options: o, ctx: ctx, dir: dir, results: r, peak: map[string]int64{}}
	lo.Dir, lo.Seed, lo.Bound = filepath.Join(dir, "lab"), 1, true
	var err error
	b.lab, err = lab.Up(ctx, lo, func(line string) { b.say("   lab: %s", line) })
	return b, err
}

func (b *bench) tearDown() {
	if err := b.lab.Down(context.WithoutCancel(b.ctx)); err != nil {
		b.say("take lab down: %v", err)
	}
}

// say tells on stderr how far the bench is.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// settle writes out what earlier runs left in memory, so that no run pays for another.
func (b *bench) settle() error {
	_, err := b.timed(exec.CommandContext(b.ctx, "sync"))
	return err
}

// timed runs a command and returns how long it took, in seconds.
func (b *bench) timed(cmd *exec.Cmd) (float64, error) {
	var stderr bytes.Buffer
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began).Seconds()
	if err != nil {
		return took, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, lastLines(stderr.String()))
	}
	return took, nil
}

func lastLines(text string) string {
	const most = 1500
	return strings.TrimSpace(text[max(0, len(text)-most):])
}

// vault is a new, empty vault with a configuration of its own.
type vault struct {
	b           *bench
	dir, config string
	on          string  // the node on whose host holdfast runs; "" is this machine, which reaches the nodes over ssh
	processor   float64 // seconds of it that the last run took, with its children
}

// newVault makes a vault. With nodes, backups are taken from these only.
func (b *bench) newVault(nodes ...string) (*vault, error) {
	b.vaults++
	v := &vault{b: b, dir: filepath.Join(b.dir, "vault-"+strconv.Itoa(b.vaults))}
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(b.lab.Config())
	if err != nil {
		return nil, err
	}
	config := strings.NewReplacer(
		"state: "+b.lab.Options.Dir+"/state", "state: "+v.dir+"/state",
		"file://"+b.lab.Options.Dir+"/vault", "file://"+v.dir+"/vault",
	).Replace(string(text))
	if len(nodes) > 0 {
		config = strings.Replace(config, "mariadb:\n", "mariadb:\n  shards: [{id: 0, nodes: ["+strings.Join(nodes, ", ")+"]}]\n", 1)
	}
	v.config = filepath.Join(v.dir, "holdfast.yml")
	if err := os.WriteFile(v.config, []byte(config), 0o600); err != nil {
		return nil, err
	}
	_, _, err = v.hold("init", "--yes")
	return v, err
}

// runOn makes holdfast run on a node's host and read that node without ssh, by a second inventory that says so.
func (v *vault) runOn(node string) error {
	extra := filepath.Join(v.dir, "local")
	if err := os.WriteFile(extra, []byte(node+" ansible_connection=local\n"), 0o600); err != nil {
		return err
	}
	text, err := os.ReadFile(v.config)
	if err != nil {
		return err
	}
	v.on = node
	config := strings.Replace(string(text), "/inventory/multinode]", "/inventory/multinode, "+extra+"]", 1)
	return os.WriteFile(v.config, []byte(config), 0o600)
}

// command is a command line of holdfast.
func (v *vault) command(args ...string) (*exec.Cmd, error) {
	args = append([]string{"-c", v.config, "--quiet"}, args...)
	if v.on == "" {
		return exec.CommandContext(v.b.ctx, v.b.holdfast, args...), nil
	}
	return v.b.lab.Command(v.b.ctx, v.on, append([]string{v.b.holdfast}, args...)...)
}

func (v *vault) remove() error { return os.RemoveAll(v.dir) }

// hold runs holdfast, and returns its stdout and how many seconds it took from start to exit.
func (v *vault) hold(args ...string) ([]byte, float64, error) {
	cmd, err := v.command(args...)
	if err != nil {
		return nil, 0, err
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	watched := watchPeak(cmd.Process.Pid)
	err = cmd.Wait()
	took := time.Since(began).Seconds()
	v.b.peak[args[0]] = max(v.b.peak[args[0]], watched())
	v.processor = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if err != nil {
		return nil, took, fmt.Errorf("holdfast %s: %w: %s", strings.Join(args, " "), err, lastLines(stdout.String()+stderr.String()))
	}
	return stdout.Bytes(), took, nil
}

// backup takes a point of the database's physical or logical copy alone.
func (v *vault) backup(kind point.Kind) (point.Component, float64, error) {
	out, took, err := v.hold("backup", "mariadb", "--only", "*/"+string(kind), "--json")
	if err != nil {
		return point.Component{}, took, err
	}
	var p point.Point
	if err := json.Unmarshal(out, &p); err != nil {
		return point.Component{}, took, fmt.Errorf("read point: %w", err)
	}
	c, ok := p.Component("mariadb", "shard0/"+string(kind))
	if !ok || c.State != point.Good || p.State != point.Complete {
		return c, took, fmt.Errorf("the copy is %q: %s", c.State, c.Reason)
	}
	return c, took, nil
}

// backupToEmpty takes a point of the reader into a vault that held nothing and is removed again; holdfast runs on the
// host on, or on this machine.
func (b *bench) backupToEmpty(kind point.Kind, on string) (point.Component, float64, error) {
	v, err := b.newVault(reader)
	if err != nil {
		return point.Component{}, 0, err
	}
	defer v.remove()
	if on != "" {
		if err := v.runOn(on); err != nil {
			return point.Component{}, 0, err
		}
	}
	if err := b.settle(); err != nil {
		return point.Component{}, 0, err
	}
	return v.backup(kind)
}

// watchPeak follows the peak resident memory of a process until the returned function is called, which returns it in
// bytes. Its children do not count.
func watchPeak(pid int) func() int64 {
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for peak := int64(0); ; {
			peak = max(peak, peakOf(pid))
			select {
			case <-stop:
				done <- peak
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { close(stop); return <-done }
}

// peakOf looks at holdfast, which is the child of pid if that only entered a host for it.
func peakOf(pid int) int64 {
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(name) == "nsenter\n" {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(children)))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

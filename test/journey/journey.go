// Package journey drives the built holdfast command against a lab, as an operator would, for tests of whole journeys.
package journey

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/lab"
	"holdfast/internal/point"
)

var build = sync.OnceValues(func() (string, error) {
	if binary := os.Getenv("HOLDFAST_BINARY"); binary != "" { // an installed command instead of this tree's
		return binary, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "holdfast-bin-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "holdfast")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/holdfast")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build holdfast: %w: %s", err, out)
	}
	return binary, nil
})

// moduleRoot is the directory of go.mod above the test's own.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, serr := os.Stat(filepath.Join(dir, "go.mod")); serr == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// Binary returns the path of the command, built once for all tests of the process.
func Binary(t testing.TB) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// Result is how a command ended.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Operator runs commands with one configuration.
type Operator struct {
	t      testing.TB
	Binary string
	Config string
	Env    []string // beside the test's own
}

// New returns an operator of the lab's own configuration.
func New(t testing.TB, l *lab.Lab) *Operator {
	t.Helper()
	return &Operator{t: t, Binary: Binary(t), Config: l.Config()}
}

// timeout bounds every command, so that a hung one fails its test and nothing else.
const timeout = 5 * time.Minute

// Command prepares a command line; it dies with the test.
func (o *Operator) Command(args ...string) *exec.Cmd {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	o.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, o.Binary, append([]string{"-c", o.Config}, args...)...)
	cmd.Env = append(os.Environ(), o.Env...)
	return cmd
}

// Try runs a command line, whatever its end.
func (o *Operator) Try(args ...string) Result {
	o.t.Helper()
	cmd := o.Command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // its end is in ProcessState
	if cmd.ProcessState == nil {
		o.t.Fatalf("holdfast %s did not start", strings.Join(args, " "))
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Run runs a command line that must end with 0 and returns its stdout.
func (o *Operator) Run(args ...string) string {
	o.t.Helper()
	r := o.Try(args...)
	if r.Code != 0 {
		o.t.Fatalf("holdfast %s ended with %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Fails runs a command line that must end with code and whose stderr must hold every one of texts.
func (o *Operator) Fails(code int, texts []string, args ...string) Result {
	o.t.Helper()
	r := o.Try(args...)
	if r.Code != code {
		o.t.Errorf("holdfast %s ended with %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.Stderr, text) {
			o.t.Errorf("holdfast %s does not say %q:\n%s", strings.Join(args, " "), text, r.Stderr)
		}
	}
	return r
}

// Init creates the vault and the kit.
func (o *Operator) Init() {
	o.t.Helper()
	o.Run("init", "--yes")
}

// Backup takes a point of the sources that must be complete.
func (o *Operator) Backup(sources ...string) point.Point {
	o.t.Helper()
	return o.decode(o.Run(append([]string{"backup", "--json"}, sources...)...))
}

// Show returns a point.
func (o *Operator) Show(name string) point.Point {
	o.t.Helper()
	return o.decode(o.Run("show", name, "--json"))
}

// Points returns the ids of all points.
func (o *Operator) Points() []string {
	o.t.Helper()
	var points []point.Point
	if err := json.Unmarshal([]byte(o.Run("points", "--json")), &points); err != nil {
		o.t.Fatalf("points --json: %v", err)
	}
	ids := []string{}
	for _, p := range points {
		ids = append(ids, p.ID)
	}
	return ids
}

func (o *Operator) decode(text string) point.Point {
	o.t.Helper()
	var p point.Point
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		o.t.Fatalf("decode point: %v: %s", err, text)
	}
	return p
}

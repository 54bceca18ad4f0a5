// Package labtest gives tests a lab. A lab that cannot come up fails the test; it never skips it.
package labtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/lab"
)

var shared struct {
	sync.Mutex
	labs map[lab.Options]*lab.Lab
}

// Main runs a package's tests and then takes the shared labs down. Call it as: func TestMain(m *testing.M) {
// labtest.Main(m) }.
func Main(m *testing.M) {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	for _, l := range shared.labs {
		if err := l.Down(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "take shared lab down:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Shared returns the lab that all tests of this process share that ask for the same options, three Galera nodes unless
// opts say otherwise. Tests must leave it as they found it. The package needs a TestMain that calls Main.
func Shared(t testing.TB, opts ...func(*lab.Options)) *lab.Lab {
	t.Helper()
	o := options(opts)
	shared.Lock()
	defer shared.Unlock()
	if l := shared.labs[o]; l != nil {
		return l
	}
	l := up(t, o)
	if shared.labs == nil {
		shared.labs = map[lab.Options]*lab.Lab{}
	}
	shared.labs[o] = l
	return l
}

// New returns a lab of the test's own, which is taken down when the test ends.
func New(t testing.TB, opts ...func(*lab.Options)) *lab.Lab {
	t.Helper()
	l := up(t, options(opts))
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Errorf("take lab down: %v", err)
		}
	})
	return l
}

// Hosts asks for hosts with sshd alone, which are up in well under a second.
func Hosts(o *lab.Options) { o.Galera = 0 }

// Ceph asks for a Ceph cluster.
func Ceph(o *lab.Options) { o.Ceph = true }

// EmptyCeph asks for a Ceph cluster with nothing in its pools.
func EmptyCeph(o *lab.Options) { o.Ceph, o.EmptyPools = true, true }

// OpenStack asks for Keystone, Glance and Cinder, with Ceph and one Galera node.
func OpenStack(o *lab.Options) { o.OpenStack, o.Galera = true, 1 }

// Nodes asks for n Galera nodes.
func Nodes(n int) func(*lab.Options) { return func(o *lab.Options) { o.Galera = n } }

// Bulk asks for a schema bulk of that many MiB.
func Bulk(mib int) func(*lab.Options) { return func(o *lab.Options) { o.BulkMiB = mib } }

func options(opts []func(*lab.Options)) lab.Options {
	o := lab.Options{Galera: 3, Seed: 1, Bound: true}
	for _, set := range opts {
		set(&o)
	}
	return o
}

func up(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	parent := place(o)
	sweep(parent)
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		t.Fatalf("create lab directory: %v", err)
	}
	o.Dir = dir
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, o, func(line string) { t.Log("lab:", line) })
	if err != nil {
		t.Fatalf("bring up a lab in %s: %v", o.Dir, err)
	}
	return l
}

// prefix begins the name of every directory that a test's lab is in.
const prefix = "holdfast-lab-"

// sweep removes what labs of killed tests left in parent: their hosts ended with the tests. A lab that is only coming
// up has hosts within seconds.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, prefix+"*", "lab.json"))
	for _, file := range dirs {
		info, err := os.Stat(file)
		if err != nil || time.Since(info.ModTime()) < 2*time.Minute {
			continue
		}
		if l, err := lab.Open(filepath.Dir(file)); err == nil && l.Options.Bound && len(l.Up()) == 0 {
			_ = l.Down(context.Background()) // the next sweep tries again
		}
	}
}

// place prefers a file system in memory that has room for the datadirs: on it a lab comes up and goes down several
// times faster.
func place(o lab.Options) string {
	const memory = "/dev/shm"
	if o.Ceph || o.OpenStack {
		return os.TempDir()
	}
	var fs unix.Statfs_t
	need := uint64(2+4*o.BulkMiB/1024) << 30
	if real, err := filepath.EvalSymlinks(memory); err != nil || real != memory {
		return os.TempDir()
	}
	if unix.Statfs(memory, &fs) == nil && fs.Bavail*uint64(fs.Bsize) > need {
		return memory
	}
	return os.TempDir()
}

package drill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/problem"
)

func at(day int) time.Time { return time.Date(2026, 1, day, 2, 0, 0, 0, time.UTC) }

// points are good ones of the first days of January, but for the one of the 2nd.
func points() (all []point.Point) {
	for day := 1; day <= 4; day++ {
		state := point.Good
		if day == 2 {
			state = point.ComponentFailed
		}
		all = append(all, point.Point{ID: fmt.Sprint(day), Started: at(day), Components: []point.Component{{Source: "mariadb", Name: "shard0/logical", State: state, Required: true}}})
	}
	return all
}

func drillOf(id string, day int, s point.DrillState) point.Drill {
	return point.Drill{Point: id, Source: "mariadb", Started: at(day), State: s, Parts: []point.DrillPart{{Component: "shard0/logical", State: s}}}
}

func TestLongest(t *testing.T) {
	for _, test := range []struct {
		name   string
		drills []point.Drill
		want   string
	}{
		{"none was drilled", nil, "1"},
		{"the oldest was", []point.Drill{drillOf("1", 5, point.Proven)}, "3"},
		{"all were", []point.Drill{drillOf("1", 7, point.Proven), drillOf("3", 6, point.Differs), drillOf("4", 8, point.Proven), drillOf("1", 5, point.Proven)}, "3"},
		{"one could not be", []point.Drill{drillOf("1", 5, point.Undone)}, "1"},
		{"of another shard", []point.Drill{{Point: "1", Source: "mariadb", Shard: 1, Started: at(5), State: point.Proven}}, "1"},
		{"of another source", []point.Drill{{Point: "1", Source: "rbd", Started: at(5), State: point.Proven}}, "1"},
	} {
		if p, err := Longest(points(), test.drills, 0); err != nil || p.ID != test.want {
			t.Errorf("%s: point %s, %v, want %s", test.name, p.ID, err, test.want)
		}
	}
	if _, err := Longest(points()[1:2], nil, 0); problem.KindOf(err) != problem.NotFound {
		t.Errorf("without a good point: %v", err)
	}
}

// TestChosenOfAddedShard: a point that was taken before there was a shard is never chosen for it, nor does what failed in one shard keep
// a point from being drilled for another.
func TestChosenOfAddedShard(t *testing.T) {
	all := points()
	for i := 1; i < 3; i++ { // the 2nd, in which shard 0 failed, and the 3rd
		all[i].Components = append(all[i].Components, point.Component{Source: "mariadb", Name: "shard1/physical", State: point.Good, Required: true})
	}
	slices.Reverse(all)
	for shard, want := range map[int][2]string{0: {"4", "1"}, 1: {"3", "2"}} {
		newest, err := Newest(all, shard)
		if err != nil || newest.ID != want[0] {
			t.Errorf("shard %d: the newest is %s, %v, want %s", shard, newest.ID, err, want[0])
		}
		longest, err := Longest(all, nil, shard)
		if err != nil || longest.ID != want[1] {
			t.Errorf("shard %d: the longest is %s, %v, want %s", shard, longest.ID, err, want[1])
		}
	}
	if _, err := Newest(all, 11); problem.KindOf(err) != problem.NotFound || !strings.Contains(err.Error(), "shard 11") {
		t.Errorf("of a shard that no point holds: %v", err)
	}
}

// TestShards: all shards are those of the newest point that holds any, also the one whose copies failed in it, and not one that an older
// point had.
func TestShards(t *testing.T) {
	of := func(day int, components ...point.Component) point.Point {
		return point.Point{ID: fmt.Sprint(day), Started: at(day), Components: components}
	}
	copyOf := func(name string, s point.ComponentState) point.Component {
		return point.Component{Source: "mariadb", Name: name, State: s}
	}
	all := []point.Point{
		of(4, copyOf("plan", point.ComponentFailed)),
		of(3, copyOf("shard10/logical", point.Good), copyOf("shard10/physical", point.Good), copyOf("shard2/logical", point.ComponentFailed), copyOf("image/1", point.Good), point.Component{Source: "rbd", Name: "shard7/x", State: point.Good}),
		of(2, copyOf("shard0/logical", point.Good), copyOf("shard2/logical", point.Good)),
	}
	if shards, err := Shards(all); err != nil || !slices.Equal(shards, []int{2, 10}) {
		t.Errorf("%v, %v", shards, err)
	}
	if shards, err := Shards(all[:1]); problem.KindOf(err) != problem.NotFound {
		t.Errorf("of a point without any: %v, %v", shards, err)
	}
}

func TestLastProven(t *testing.T) {
	all := []point.Drill{drillOf("1", 5, point.Proven), drillOf("3", 7, point.Differs), drillOf("1", 6, point.Proven)}
	if last := point.LastProven(all, "mariadb", "shard0/logical"); last == nil || !last.Equal(at(6)) {
		t.Errorf("it was proven at %v", last)
	}
	if last := point.LastProven(all, "mariadb", "shard0/physical"); last != nil {
		t.Errorf("what was never drilled was proven at %v", last)
	}
}

func TestState(t *testing.T) {
	wrong := []point.DrillPart{{State: point.Proven}, {State: point.Differs}}
	for _, test := range []struct {
		parts []point.DrillPart
		err   error
		want  point.DrillState
	}{
		{wrong[:1], nil, point.Proven}, {wrong, nil, point.Differs}, {wrong, errors.New("no room"), point.Differs}, {wrong[:1], errors.New("no room"), point.Undone},
	} {
		if got := state(test.parts, test.err); got != test.want {
			t.Errorf("%+v, %v: %s, want %s", test.parts, test.err, got, test.want)
		}
	}
}

// TestSweep removes what a killed drill left, with its server, and nothing of one that is at work.
func TestSweep(t *testing.T) {
	state := t.TempDir()
	alive, err := newPlace(t.Context(), state, "alive")
	if err != nil {
		t.Fatal(err)
	}
	defer alive.remove(context.Background())
	dir := filepath.Join(state, drillsDir, "killed", "physical")
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("sleep", "600")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, serverFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf("%d %s0\n", server.Process.Pid, bornAt(server.Process.Pid))) // its number alone names nobody
	if left, err := Sweep(t.Context(), state); err != nil || len(left) != 1 {
		t.Fatalf("%q, %v", left, err)
	}
	if bornAt(server.Process.Pid) == "" {
		t.Fatal("another process was killed")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(fmt.Sprintf("%d %s\n", server.Process.Pid, bornAt(server.Process.Pid)))
	if left, err := Sweep(t.Context(), state); err != nil || len(left) != 1 {
		t.Fatalf("%q, %v", left, err)
	}
	<-ended
	entries, err := os.ReadDir(filepath.Join(state, drillsDir))
	if err != nil || len(entries) != 1 || entries[0].Name() != "alive" {
		t.Errorf("what is there: %v, %v", entries, err)
	}
}

// TestSweepWithoutImage: a note of an image that cannot be read leaves no database behind.
func TestSweepWithoutImage(t *testing.T) {
	state := t.TempDir()
	dir := filepath.Join(state, drillsDir, "killed")
	if err := os.MkdirAll(filepath.Join(dir, imageFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Sweep(t.Context(), state); err == nil {
		t.Error("nothing tells that an image may be left")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
}

// TestNewPlaceIsInterrupted: a drill whose predecessor left something in an engine that hangs can still be stopped.
func TestNewPlaceIsInterrupted(t *testing.T) {
	state := t.TempDir()
	dir := filepath.Join(state, drillsDir, "killed")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	asked, engine := filepath.Join(state, "asked"), filepath.Join(state, "engine")
	if err := errors.Join(
		syscall.Mkfifo(asked, 0o600), os.WriteFile(engine, []byte("#!/bin/sh\n: >"+asked+"\nexec sleep 60\n"), 0o700),
		os.WriteFile(filepath.Join(dir, engineFile), []byte(engine), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := newPlace(ctx, state, "next")
		ended <- err
	}()
	if _, err := os.ReadFile(asked); err != nil { // until the engine is
		t.Fatal(err)
	}
	stop()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it goes on")
	}
}

// TestSweepsBeside: many that begin a drill and remove what is left at once do not take each other's directories for left over.
func TestSweepsBeside(t *testing.T) {
	state := t.TempDir()
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 50 {
				p, err := newPlace(t.Context(), state, fmt.Sprintf("%d-%d", n, i))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := Sweep(t.Context(), state); err != nil {
					t.Error(err)
				}
				if n%2 == 0 {
					p.lock.Close() // it is killed
				} else if err := p.remove(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

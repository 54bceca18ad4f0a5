package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// describeMachine says on what the figures were taken.
func describeMachine(ctx context.Context, dir string, o options) []string {
	lines := []string{
		fmt.Sprintf("%s, load %s at the start", time.Now().UTC().Format("2006-01-02 15:04 UTC"), loadAverage()),
		fmt.Sprintf("%d cores (%s), %s of memory, Linux %s", runtime.NumCPU(), cpuModel(), memory(), said(ctx, "uname", "-r")),
		fmt.Sprintf("disk: %s, %s", said(ctx, "findmnt", "-n", "-v", "-o", "SOURCE,FSTYPE", "-T", dir), diskSpeed(dir)),
		said(ctx, o.holdfast, "version"),
		said(ctx, "mariadb-backup", "--no-defaults", "--version"),
		strings.Trim(said(ctx, "zstd", "--version"), "* "),
	}
	return lines
}

// said returns the first line that a command says.
func said(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return name + ": unknown"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.Join(strings.Fields(line), " ")
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(b))[0]
}

func cpuModel() string { return procField("/proc/cpuinfo", "model name", "unknown model") }

func memory() string { return procField("/proc/meminfo", "MemTotal", "unknown size") }

func procField(file, key, unknown string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return unknown
}

// diskSpeed writes 256 MiB and syncs them.
func diskSpeed(dir string) string {
	const mib = 256
	f, err := os.Create(filepath.Join(dir, "speed"))
	if err != nil {
		return "speed unknown"
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 1<<20)
	rand.Read(block)
	began := time.Now()
	for range mib {
		if _, err := f.Write(block); err != nil {
			return "speed unknown"
		}
	}
	if err := f.Sync(); err != nil {
		return "speed unknown"
	}
	return fmt.Sprintf("%.0f MiB/s written and synced", mib/time.Since(began).Seconds())
}

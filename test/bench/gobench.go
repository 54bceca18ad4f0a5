package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// goBench runs one benchmark of a package once, with its vaults on the disk that is measured, and returns what it reports, by unit.
func (b *bench) goBench(pkg, name string) (map[string]float64, error) {
	tmp, remove := b.scratch("gobench")
	defer remove()
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(b.ctx, "go", "test", "-run", "^$", "-bench", "^"+name+"$", "-benchtime", "1x", "-count", "1", pkg)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, lastLines(string(out)))
	}
	return reported(string(out), name)
}

// reported reads the line of a benchmark: its name, how often it ran, and values with their units.
func reported(out, name string) (map[string]float64, error) {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], name) || strings.HasSuffix(fields[0], ":") {
			continue
		}
		values := map[string]float64{}
		for n := 2; n+1 < len(fields); n += 2 {
			value, err := strconv.ParseFloat(fields[n], 64)
			if err != nil {
				return nil, fmt.Errorf("read what %s reports: %w", name, err)
			}
			values[fields[n+1]] = value
		}
		return values, nil
	}
	return nil, fmt.Errorf("%s reports nothing: %s", name, lastLines(out))
}

// pruneStore removes 500 points of 1,000 and reclaims their space, beside a run that writes.
func pruneStore(b *bench) error {
	got, err := b.goBench("./internal/vault/", "BenchmarkPrune")
	if err != nil {
		return err
	}
	work, freed := got["work-s"], got["%-freed"]
	b.add(figure{
		What: "prune of 500 points out of 1,000", Bar: "≤ 60 s, ≥ 60 % freed", Measured: fmt.Sprintf("%.1f s, %.0f %% freed", work, freed),
		Verdict: verdict(work > 0 && work <= 60 && freed >= 60),
		Detail:  "of a directory: the removal and all cycles of maintenance, with the clock moved on between them and another run beside the first; of the bytes that nothing refers to any more; 1 run",
	})
	return nil
}

// nothingNew compares two vaults that hold the same 1,000 points.
func nothingNew(b *bench) error {
	got, err := b.goBench("./internal/vault/", "BenchmarkNothingNew")
	if err != nil {
		return err
	}
	total := got["total-s"]
	b.add(figure{
		What: "nothing new, 1,000 points", Bar: "≤ 3 s", Measured: fmt.Sprintf("%.2f s", total), Verdict: verdict(total > 0 && total <= 3),
		Detail: fmt.Sprintf("of two directories: opened after %.2f s, compared after %.2f s, all points of both listed; 1 run", got["opened-s"], got["compared-s"]),
	})
	return nil
}

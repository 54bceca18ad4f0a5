package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/internal/point"
)

// reader is the node that backups are taken from, and writerNode the one that a writer is on, unless said otherwise.
const reader, writerNode = "ctl2", "ctl1"

var bareMeasurements = []measurement{
	{"physical", physicalBackup},
	{"script", scriptBackup},
	{"change", changedBackup},
	{"logical", logicalBackup},
	{"gzip", scriptDump},
	{"stall-other", stallOnOtherNode},
	{"stall-same", stallOnSameNode},
	{"restore", restoreDatadir},
	{"cluster", restoreCluster},
}

var containerMeasurements = []measurement{
	{"container", containerBackup},
}

// ours measures a backup into an empty vault.
func (b *bench) ours(kind point.Kind, on string, last *point.Component) func() (float64, error) {
	return func() (took float64, err error) {
		*last, took, err = b.backupToEmpty(kind, on)
		return took, err
	}
}

// compressed is the command line that a physical backup is measured against.
const compressed = backupTool + ` --stream=mbstream | zstd -1 -T2 -q >%s; sync`

func physicalBackup(b *bench) error {
	file, remove := b.scratch("peer.mbs.zst")
	defer remove()
	var c point.Component
	bare, err := b.compare(b.pairs, b.ours(point.Physical, reader, &c), func() (float64, error) {
		return b.local(reader, fmt.Sprintf(compressed, file))
	})
	if err != nil {
		return err
	}
	f := bare.atMost("physical backup into the vault, both on the node", 1.10, "mariadb-backup | zstd")
	f.Detail += fmt.Sprintf("; %s read, %s new, peer's file %s", mib(c.BytesRead), mib(c.BytesNew), mib(sizeOf(file)))
	b.add(f)
	ssh, err := b.compare(min(b.pairs, 3), b.ours(point.Physical, "", &c), func() (float64, error) {
		return b.remote(reader, "", backupTool+" --stream=mbstream", "zstd -1 -T2 -q >"+file+"; sync")
	})
	if err == nil {
		b.add(figure{What: "the same, both over ssh", Bar: "-", Measured: fmt.Sprintf("%.2f ×", ssh.ratio()), Detail: ssh.seconds("peer")})
	}
	return err
}

// scriptBackup runs what scripts do today: a backup into a directory, a copy of it, and a compressed tar of the copy.
func scriptBackup(b *bench) error {
	dir, remove := b.scratch("script")
	defer remove()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	_, took, err := b.backupToEmpty(point.Physical, reader)
	if err != nil {
		return err
	}
	script := fmt.Sprintf(`cd %s; %s --target-dir=full; cp -a full copy; tar -czf full.tar.gz -C copy .; sync`, dir, backupTool)
	theirs, err := b.local(reader, script)
	if err != nil {
		return err
	}
	b.add(figure{
		What: "the same against backup, copy and tar -czf", Bar: "≥ 10 × faster", Measured: fmt.Sprintf("%.1f × faster", theirs/took),
		Verdict: verdict(theirs/took >= 10), Detail: fmt.Sprintf("%.1f s, script %.1f s, 1 pair", took, theirs),
	})
	return nil
}

func logicalBackup(b *bench) error {
	var c point.Component
	pairs, err := b.compare(b.pairs, b.ours(point.Logical, reader, &c), func() (float64, error) {
		return b.local(reader, dumpTool+" >/dev/null")
	})
	if err != nil {
		return err
	}
	f := pairs.atMost("logical backup into the vault, both on the node", 1.25, "mariadb-dump > /dev/null")
	f.Detail += fmt.Sprintf("; %s read, %s new", mib(c.BytesRead), mib(c.BytesNew))
	b.add(f)
	return nil
}

// scriptDump runs what scripts do today: a dump into a file, and gzip on it.
func scriptDump(b *bench) error {
	file, remove := b.scratch("dump.sql")
	defer remove()
	defer os.Remove(file + ".gz")
	_, took, err := b.backupToEmpty(point.Logical, reader)
	if err != nil {
		return err
	}
	theirs, err := b.local(reader, fmt.Sprintf("%s >%s; gzip -f %[2]s; sync", dumpTool, file))
	if err != nil {
		return err
	}
	b.add(figure{
		What: "the same against dump and gzip", Bar: "-", Measured: fmt.Sprintf("%.1f × faster", theirs/took),
		Detail: fmt.Sprintf("%.1f s, script %.1f s, 1 pair", took, theirs),
	})
	return nil
}

// containerBackup is physicalBackup where the servers run in containers; both sides go over ssh and into the
// container's namespaces, which is what Holdfast does by itself.
func containerBackup(b *bench) error {
	file, remove := b.scratch("peer.mbs.zst")
	defer remove()
	var c point.Component
	sink := "zstd -1 -T2 -q >" + file + "; sync"
	const inside = `nsenter -a -t "$(docker inspect -f '{{.State.Pid}}' mariadb)"`
	same, err := b.compare(b.pairs, b.ours(point.Physical, "", &c), func() (float64, error) {
		return b.remote(reader, inside, backupTool+" --stream=mbstream", sink)
	})
	if err != nil {
		return err
	}
	b.add(same.atMost("physical backup of a container, both over ssh and nsenter", 1.10, "mariadb-backup | zstd"))
	exec, err := b.compare(min(b.pairs, 3), b.ours(point.Physical, "", &c), func() (float64, error) {
		return b.remote(reader, "docker exec -i mariadb", backupTool+" --stream=mbstream", sink)
	})
	if err == nil {
		b.add(figure{What: "the same, peer by docker exec", Bar: "-", Measured: fmt.Sprintf("%.2f ×", exec.ratio()), Detail: exec.seconds("peer")})
	}
	return err
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func sizeOf(path string) (size int64) {
	filepath.WalkDir(path, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

// reportMemory tells Holdfast's peak memory by command.
func (b *bench) reportMemory() {
	var most int64
	var parts []string
	for _, what := range []string{"backup", "replicate", "restore"} {
		if n := b.peak[what]; n > 0 {
			parts, most = append(parts, what+" "+mib(n)), max(most, n)
		}
	}
	if most == 0 {
		return // nothing of it ran
	}
	where := ""
	switch {
	case b.results.group == "stores":
		where = ", stores"
	case b.lab.Options.Containers:
		where = ", containers"
	case b.lab.Options.Ceph:
		where = ", images"
	}
	b.add(figure{
		What: "Holdfast's own peak memory" + where, Bar: "≤ 1024 MiB", Measured: mib(most), Verdict: verdict(most <= 1<<30),
		Detail: strings.Join(parts, ", ") + "; its children apart",
	})
}

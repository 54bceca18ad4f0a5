package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/lab"
	"holdfast/internal/point"
)

var imageMeasurements = []measurement{
	{"image-first", firstImage},
	{"image-peers", imagePeers},
	{"image-runs", imageRuns},
	{"image-random", imageRandom},
	{"image-restore", restoreImage},
	{"image-inplace", restoreInPlace},
	{"image-instant", instantImage},
	{"image-many", manyImages},
	{"image-huge", hugeImages},
	{"image-pieces", imagePieces},
}

const (
	mebi      = int64(1) << 20
	imageSize = 2048 * mebi
	object    = 4 * mebi
)

// rbdCommand is what the lab's own rbd is called with.
func (b *bench) rbdCommand() string { return "rbd -c " + b.lab.Ceph.Conf + " " }

// sh runs a command line with bash and returns its seconds.
func (b *bench) sh(format string, args ...any) (float64, error) {
	return b.timed(exec.CommandContext(b.ctx, "bash", "-c", "set -euo pipefail; "+fmt.Sprintf(format, args...)))
}

// output runs a command line with bash and returns its stdout.
func (b *bench) output(format string, args ...any) ([]byte, error) {
	return exec.CommandContext(b.ctx, "bash", "-c", fmt.Sprintf(format, args...)).Output()
}

// rawImage writes, once, the file that images are made of: in turns of 64 MiB, half of it random, a quarter text, a
// quarter zeros.
func (b *bench) rawImage() (string, error) {
	name := filepath.Join(b.dir, "image.raw")
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const turn = 64 * mebi
	dice := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, turn)
	for at := int64(0); at < imageSize; at += turn {
		switch at / turn % 4 {
		case 0, 2:
			_, _ = dice.Read(buf)
		case 1:
			fillText(buf, rand.New(dice))
		case 3:
			continue
		}
		if _, err := f.WriteAt(buf, at); err != nil {
			return "", err
		}
	}
	return name, f.Truncate(imageSize)
}

// fillText fills buf with lines of a log as OpenStack's services write it: a request logs several lines under one id.
func fillText(buf []byte, dice *rand.Rand) {
	services := []string{"nova-compute", "neutron-server", "cinder-volume", "glance-api", "keystone"}
	for at, n := 0, 0; at < len(buf); {
		request := fmt.Sprintf("%d INFO %s [req-%016x%016x]", dice.IntN(50), services[dice.IntN(len(services))], dice.Uint64(), dice.Uint64())
		for range 6 {
			n++
			line := fmt.Sprintf("2026-11-22 %02d:%02d:%02d.%03d %s GET /v3/%d status: %d len: %d time: 0.%03d\n",
				n/3600000%24, n/60000%60, n/1000%60, n%1000, request, dice.IntN(1000), 200+dice.IntN(5), dice.IntN(9000), dice.IntN(1000))
			at += copy(buf[at:], line)
		}
	}
}

// anImage makes volumes/NAME of the raw image.
func (b *bench) anImage(name string) error {
	raw, err := b.rawImage()
	if err == nil {
		_, err = b.sh("%s import --no-progress %s volumes/%s", b.rbdCommand(), raw, name)
	}
	return err
}

// drop removes an image with its snapshots.
func (b *bench) drop(name string) error {
	_, err := b.sh("%[1]s snap purge --no-progress volumes/%[2]s; %[1]s rm --no-progress volumes/%[2]s", b.rbdCommand(), name)
	return err
}

// capture takes a point of one image and returns its component.
func (v *vault) capture(name string) (point.Component, float64, error) {
	out, took, err := v.hold("backup", "rbd", "--only", "volumes/"+name, "--json")
	if err != nil {
		return point.Component{}, took, err
	}
	var p point.Point
	if err := json.Unmarshal(out, &p); err != nil {
		return point.Component{}, took, fmt.Errorf("read point: %w", err)
	}
	c, ok := p.Component("rbd", "volumes/"+name)
	if !ok || c.State != point.Good {
		return c, took, fmt.Errorf("the copy is %q: %s", c.State, c.Reason)
	}
	return c, took, nil
}

// firstImage compares a first backup with reading the image, and with the script of today.
func firstImage(b *bench) error {
	if err := b.anImage("first"); err != nil {
		return err
	}
	defer b.drop("first")
	var last point.Component
	ours := func() (float64, error) {
		v, err := b.newVault()
		if err != nil {
			return 0, err
		}
		defer v.remove()
		var took float64
		last, took, err = v.capture("first")
		return took, err
	}
	if _, err := b.sh("%s snap create --no-progress volumes/first@peer", b.rbdCommand()); err != nil {
		return err
	}
	theirs := func() (float64, error) {
		return b.sh("%s export-diff --no-progress volumes/first@peer - >/dev/null", b.rbdCommand())
	}
	c, err := b.compare(b.pairs, ours, theirs)
	if err != nil {
		return err
	}
	f := c.atMost("first backup of a 2 GiB image", 3, "rbd export-diff > /dev/null")
	f.Detail += fmt.Sprintf("; %s read, %s new", mib(last.BytesRead), mib(last.BytesNew))
	b.add(f)
	took, err := b.sh("%s export --no-progress volumes/first@peer %[2]s/script.raw; gzip %[2]s/script.raw; rm %[2]s/script.raw.gz", b.rbdCommand(), b.dir)
	if err != nil {
		return err
	}
	faster := took / c.ours()
	b.add(figure{
		What: "the same against export and gzip", Bar: "≥ 11 × faster", Measured: fmt.Sprintf("%.1f × faster", faster),
		Verdict: verdict(faster >= 11), Detail: fmt.Sprintf("%.2f s, script %.1f s, 1 run", c.ours(), took),
	})
	return nil
}

// imagePeer is another tool that keeps the stream of rbd export in a repository of its own.
type imagePeer struct {
	name, start, keep string
	bare              bool // it does not encrypt, and is told beside the others
}

// peersOf are the tools, with their repositories in dir. Each is as fast as it can be told to be.
func (b *bench) peersOf(dir string) []imagePeer {
	borg := func(name, encryption string) imagePeer {
		env := "export BORG_PASSPHRASE=peer BORG_BASE_DIR=" + dir + "/borghome; "
		return imagePeer{
			name: name, bare: encryption == "none",
			start: env + "borg init -e " + encryption + " " + dir + "/" + name,
			keep:  env + "borg create --compression zstd,1 --chunker-params fixed,4194304 " + dir + "/" + name + "::$RANDOM$RANDOM -",
		}
	}
	kopia := b.dir + "/kopia --config-file=" + dir + "/kopia.config --log-dir=" + dir + "/kopia-log "
	return []imagePeer{
		{
			name: "restic", start: "export RESTIC_PASSWORD=peer; restic -q init -r " + dir + "/restic",
			keep: "export RESTIC_PASSWORD=peer; restic -q -r " + dir + "/restic --no-cache backup --stdin --stdin-filename image",
		},
		borg("borg", "repokey-blake2"), borg("borg-bare", "none"),
		{
			name: "kopia", start: "export KOPIA_PASSWORD=peer KOPIA_CHECK_FOR_UPDATES=false; mkdir " + dir + "/kopia; " + kopia + "repository create filesystem --cache-directory=" + dir + "/kopia-cache --path=" + dir + "/kopia >/dev/null; " +
				kopia + "policy set --global --compression=zstd-fastest >/dev/null",
			keep: "export KOPIA_PASSWORD=peer KOPIA_CHECK_FOR_UPDATES=false; " + kopia + "snapshot create --no-progress --stdin-file=image " + dir + "/image",
		},
	}
}

// buildKopia makes the command of the same version as the library.
func (b *bench) buildKopia() error {
	_, err := b.sh("go build -tags nohtmlui -o %s/kopia github.com/kopia/kopia", b.dir)
	return err
}

// kept is what one tool did with one state of an image.
type kept struct {
	name  string
	took  float64
	grown int64
	bare  bool
}

// fastest is the fastest of those that encrypt, as Holdfast does.
func fastest(all []kept) kept {
	all = slices.DeleteFunc(slices.Clone(all), func(k kept) bool { return k.bare })
	return slices.MinFunc(all, func(x, y kept) int { return int(min(max((x.took-y.took)*1e6, -1), 1)) })
}

func smallest(all []kept) kept {
	return slices.MinFunc(all, func(x, y kept) int { return int(min(max(x.grown-y.grown, -1), 1)) })
}

func told(all []kept) string {
	var parts []string
	for _, k := range all {
		parts = append(parts, fmt.Sprintf("%s %.1f s %s", k.name, k.took, mib(k.grown)))
	}
	return strings.Join(parts, ", ")
}

// imagePeers runs the three states of one image (new, changed in runs, changed at random) through Holdfast and the others.
func imagePeers(b *bench) error {
	if err := b.anImage("peers"); err != nil {
		return err
	}
	defer b.drop("peers")
	dir := filepath.Join(b.dir, "peers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := b.buildKopia(); err != nil {
		return err
	}
	for _, p := range b.peersOf(dir) {
		if _, err := b.sh("%s", p.start); err != nil {
			return err
		}
	}
	v, err := b.newVault()
	if err != nil {
		return err
	}
	defer v.remove()
	for _, s := range []struct {
		what    string
		change  func() error
		times   float64 // faster than the fastest
		stored  float64 // at most this many times what is told by against
		against func([]kept) (int64, string)
	}{
		{"first backup", func() error { return nil }, 3, 1.05, func(all []kept) (int64, string) { return smallest(all).grown, "the smallest" }},
		{"after 1 % in runs of 4 MiB", func() error { return b.rewrite("peers", 5, object, 1) }, 5, 1.05, func([]kept) (int64, string) { return 5 * object, "what changed" }},
		{"after 524 random writes of 4 KiB", func() error { return b.rewrite("peers", 524, 4096, 2) }, 4, 0.5, func(all []kept) (int64, string) { return smallest(all).grown, "the smallest" }},
	} {
		if err := s.change(); err != nil {
			return err
		}
		before := sizeOf(v.dir + "/vault")
		if err := b.settle(); err != nil {
			return err
		}
		_, took, err := v.capture("peers")
		if err != nil {
			return err
		}
		ours := kept{name: "holdfast", took: took, grown: sizeOf(v.dir+"/vault") - before}
		all, err := b.runPeers(dir)
		if err != nil {
			return err
		}
		faster := fastest(all).took / ours.took
		bytes, of := s.against(all)
		b.add(figure{
			What: s.what + ", against the fastest of restic, borg and kopia", Bar: fmt.Sprintf("≥ %.0f × faster", s.times),
			Measured: fmt.Sprintf("%.1f × faster", faster), Verdict: verdict(faster >= s.times), Detail: told(append([]kept{ours}, all...)) + ", 1 run",
		})
		share := float64(ours.grown) / float64(bytes)
		b.add(figure{
			What: s.what + ", stored", Bar: fmt.Sprintf("≤ %.2f × %s", s.stored, of), Measured: fmt.Sprintf("%.2f ×", share),
			Verdict: verdict(share <= s.stored), Detail: fmt.Sprintf("%s, %s %s", mib(ours.grown), of, mib(bytes)),
		})
	}
	return nil
}

func (b *bench) runPeers(dir string) (all []kept, err error) {
	for _, p := range b.peersOf(dir) {
		before := sizeOf(filepath.Join(dir, p.name))
		if err := b.settle(); err != nil {
			return nil, err
		}
		took, err := b.sh("%s export --no-progress volumes/peers - | (%s >/dev/null 2>&1)", b.rbdCommand(), p.keep)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		all = append(all, kept{p.name, took, sizeOf(filepath.Join(dir, p.name)) - before, p.bare})
	}
	return all, nil
}

// rewrite writes n ranges of that length at places of a seed.
func (b *bench) rewrite(name string, n int, length int64, seed uint64) error {
	dice := rand.New(rand.NewPCG(seed, 9))
	i := &lab.Image{Pool: "volumes", Name: name}
	for _, place := range dice.Perm(int(imageSize / length))[:n] {
		i.Do("write", int64(place)*length, length, dice.Int64N(1<<40))
	}
	return b.lab.ChangeImages(b.ctx, i)
}

// imageRuns compares increments with what rbd alone takes: a snapshot, the difference, the old snapshot removed.
func imageRuns(b *bench) error {
	return b.increments("increment after 1 % in runs of 4 MiB", 5, object, 2, 0.9)
}

// imageRandom is the same for small writes all over the image.
func imageRandom(b *bench) error {
	return b.increments("increment after 524 random writes of 4 KiB", 524, 4096, 0, 0)
}

func (b *bench) increments(what string, n int, length int64, times, more float64) error {
	if err := b.anImage("runs"); err != nil {
		return err
	}
	defer b.drop("runs")
	v, err := b.newVault()
	if err != nil {
		return err
	}
	defer v.remove()
	if _, _, err := v.capture("runs"); err != nil {
		return err
	}
	rbd := b.rbdCommand()
	if _, err := b.sh("%s snap create --no-progress volumes/runs@peer0", rbd); err != nil {
		return err
	}
	var last point.Component
	var c comparison
	for k := range b.pairs {
		if err := b.rewrite("runs", n, length, uint64(10+k)); err != nil {
			return err
		}
		if err := b.settle(); err != nil {
			return err
		}
		var p pair
		if last, p.ours, err = v.capture("runs"); err != nil {
			return err
		}
		old, now := strconv.Itoa(k), strconv.Itoa(k+1)
		if p.theirs, err = b.sh("%[1]s snap create --no-progress volumes/runs@peer%[3]s; %[1]s export-diff --no-progress --from-snap peer%[2]s volumes/runs@peer%[3]s - >/dev/null; %[1]s snap rm --no-progress volumes/runs@peer%[2]s", rbd, old, now); err != nil {
			return err
		}
		b.say("   pair %d: ours %.2f, peer %.2f", k+1, p.ours, p.theirs)
		c = append(c, p)
	}
	f := figure{What: what, Bar: "-", Measured: fmt.Sprintf("%.2f s", c.ours()), Detail: c.seconds("rbd snap create, export-diff, snap rm") + fmt.Sprintf("; %s new", mib(last.BytesNew))}
	if times > 0 {
		limit := times*c.theirs() + more
		f.Bar, f.Verdict = fmt.Sprintf("≤ %.0f × + %.1f s = %.2f s", times, more, limit), verdict(c.ours() <= limit)
	}
	b.add(f)
	return nil
}

// restoreImage compares a restore as a new image with rbd import of the raw file.
func restoreImage(b *bench) error {
	if err := b.anImage("back"); err != nil {
		return err
	}
	defer b.drop("back")
	v, err := b.newVault()
	if err != nil {
		return err
	}
	defer v.remove()
	if _, _, err := v.capture("back"); err != nil {
		return err
	}
	raw, err := b.rawImage()
	if err != nil {
		return err
	}
	ours := func() (float64, error) {
		defer b.drop("ours")
		_, took, err := v.hold("restore", "image", "latest:rbd", "volumes/back", "--as", "volumes/ours", "--yes")
		return took, err
	}
	theirs := func() (float64, error) {
		defer b.drop("theirs")
		return b.sh("%s import --no-progress %s volumes/theirs", b.rbdCommand(), raw)
	}
	c, err := b.compare(b.pairs, ours, theirs)
	if err != nil {
		return err
	}
	b.add(c.atMost("restore of the 2 GiB image", 1.2, "rbd import of the raw file"))
	return nil
}

// restoreInPlace turns 1 % of an image back, and compares that with a whole restore.
func restoreInPlace(b *bench) error {
	if err := b.anImage("turned"); err != nil {
		return err
	}
	defer b.drop("turned")
	v, err := b.newVault()
	if err != nil {
		return err
	}
	defer v.remove()
	if _, _, err := v.capture("turned"); err != nil {
		return err
	}
	seed := uint64(30)
	ours := func() (float64, error) {
		seed++
		if err := b.rewrite("turned", 5, object, seed); err != nil {
			return 0, err
		}
		_, took, err := v.hold("restore", "image", "latest:rbd", "volumes/turned", "--in-place", "--yes")
		return took, err
	}
	whole := func() (float64, error) {
		defer b.drop("whole")
		_, took, err := v.hold("restore", "image", "latest:rbd", "volumes/turned", "--as", "volumes/whole", "--yes")
		return took, err
	}
	c, err := b.compare(min(b.pairs, 3), ours, whole)
	if err != nil {
		return err
	}
	faster := 1 / c.ratio()
	b.add(figure{
		What: "in-place restore with 1 % changed", Bar: "≥ 10 × faster", Measured: fmt.Sprintf("%.1f × faster", faster),
		Verdict: verdict(faster >= 10), Detail: c.seconds("restored whole"),
	})
	return nil
}

// manyImages takes a second point of images that did not change, of 100 and of 500.
func manyImages(b *bench) error {
	v, err := b.newVault()
	if err != nil {
		return err
	}
	defer v.remove()
	made := 0
	var each []float64
	for _, n := range []int{100, 500} {
		var images []*lab.Image
		for ; made < n; made++ {
			i := &lab.Image{Pool: "volumes", Name: fmt.Sprintf("many-%03d", made), Size: 8 * mebi}
			images = append(images, i.Do("write", 0, mebi, made))
		}
		if err := b.lab.MakeImages(b.ctx, images...); err != nil {
			return err
		}
		if _, _, err := v.hold("backup", "rbd", "--only", "volumes/many-*"); err != nil {
			return err
		}
		_, took, err := v.hold("backup", "rbd", "--only", "volumes/many-*")
		if err != nil {
			return err
		}
		each = append(each, took/float64(n))
	}
	b.add(figure{
		What: "500 images of 8 MiB, nothing changed, each", Bar: "≤ 0.1 s", Measured: fmt.Sprintf("%.3f s", each[1]),
		Verdict: verdict(each[1] <= 0.1), Detail: fmt.Sprintf("of 100 images %.3f s each; whole command, 1 run", each[0]),
	})
	_, err = b.sh(`for i in $(%[1]s ls volumes); do echo $i; done | xargs -P 8 -I{} sh -c '%[1]s snap purge --no-progress volumes/{}; %[1]s rm --no-progress volumes/{}'`, b.rbdCommand())
	return err
}

// hugeImages captures four sparse images of 1 TiB side by side, for Holdfast's memory.
func hugeImages(b *bench) error {
	var images []*lab.Image
	for n := range 4 {
		i := &lab.Image{Pool: "volumes", Name: fmt.Sprintf("huge-%d", n), Size: 1 << 40}
		for k := range int64(16) {
			i.Do("write", k<<36, mebi, k+int64(n))
		}
		images = append(images, i)
	}
	if err := b.lab.MakeImages(b.ctx, images...); err != nil {
		return err
	}
	v, err := b.newVault()
	if err != nil {
		return err
	}
	defer v.remove()
	_, full, err := v.hold("backup", "rbd", "--only", "volumes/huge-*", "--parallel", "4")
	if err != nil {
		return err
	}
	for _, i := range images {
		change := &lab.Image{Pool: "volumes", Name: i.Name}
		if err := b.lab.ChangeImages(b.ctx, change.Do("write", 1<<38, 4096, 77)); err != nil {
			return err
		}
	}
	_, again, err := v.hold("backup", "rbd", "--only", "volumes/huge-*", "--parallel", "4")
	if err != nil {
		return err
	}
	b.add(figure{What: "four sparse images of 1 TiB at once", Bar: "-", Measured: fmt.Sprintf("%.1f s", full), Detail: fmt.Sprintf("and %.1f s after a write of 4 KiB to each; 1 run; memory below", again)})
	return nil
}

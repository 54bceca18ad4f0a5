package fault

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/lab/labtest"
)

// harms is what happens to a blob.
var harms = map[string]func(*testing.T, string){
	"flipped byte":  flipOne,
	"zeroed sector": zeroSector,
	"gone":          gone,
	"cut":           cut,
}

func flipOne(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 0xff
	rewrite(t, file, data)
}

// zeroSector erases as much as a disk loses at once, in the middle.
func zeroSector(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[len(data)/4 : min(len(data), len(data)/4+4096)])
	rewrite(t, file, data)
}

// kinds are the prefixes of all kinds of blobs, with what they are.
var kinds = map[string]string{
	"kopia.repository": "format",
	"p":                "packs of data",
	"q":                "packs of directories",
	"x":                "indexes",
	"holdfast.point.":  "records of points",
	"holdfast.hold.":   "holds",
	"holdfast.tier.":   "formats of other tiers",
	"holdfast.doubt.":  "doubts",
	".shards":          "layout",
}

// TestHealMatrix strikes every kind of blob in every way in each of two tiers: one command heals it, and afterwards all points are
// whole in both, on hold as they were, and the next backup and replication are good.
func TestHealMatrix(t *testing.T) { healMatrix(t, newDuo(t), struckTiers) }

// TestHealSFTP does the same with a second tier behind sftp, and strikes that one.
func TestHealSFTP(t *testing.T) {
	healMatrix(t, newDuoAt(t, labtest.Shared(t, labtest.Hosts)), func(what string) []string {
		return slices.DeleteFunc(struckTiers(what), func(tier string) bool { return tier == firstTier })
	})
}

func healMatrix(t *testing.T, p *duo, struck func(what string) []string) {
	files := map[string]map[string][]byte{
		"p1": {"a/b/one": someBytes(3<<20, 1), "two": someBytes(100, 2)},
		"p2": {"a/b/one": someBytes(3<<20, 1), "two": someBytes(100, 3)},
	}
	for _, id := range []string{"p1", "p2"} {
		p.take(id, files[id])
	}
	p.types(0, "replicate")
	p.types(0, "points", "hold", "p1", "--reason", "it matters")
	for prefix, what := range kinds {
		for name, harm := range harms {
			for _, tier := range struck(what + name) {
				t.Run(strings.ReplaceAll(what+" "+name+" in "+tier, " ", "_"), func(t *testing.T) {
					p := p.copy(t)
					p.ages(tier)
					if prefix == "holdfast.doubt." {
						p.raiseDoubt(tier)
					}
					for _, file := range blobs(t, filepath.Join(p.dir, tier), prefix) {
						harm(t, file)
					}
					p.healsAll(tier, files)
					if name == "gone" && tier == firstTier {
						p.take("p3", files["p1"])
						p.types(0, "replicate")
						p.types(0, "verify", "--full", "--all", "--tier", secondTier)
					}
				})
			}
		}
	}
}

// struckTiers are both when there is time, else one of them, so that each is struck in half of the ways.
func struckTiers(what string) []string {
	both := []string{firstTier, secondTier}
	if os.Getenv("HOLDFAST_SOAK") != "" {
		return both
	}
	one := len(what) % 2
	return both[one : one+1]
}

// ages makes all blobs of a tier a day old: of what is younger nobody can tell whether it is being written.
func (p *duo) ages(tier string) {
	p.t.Helper()
	for _, file := range blobs(p.t, filepath.Join(p.dir, tier), "holdfast.point.") {
		day := time.Now().Add(-24 * time.Hour)
		if err := os.Chtimes(file, day, day); err != nil {
			p.t.Fatal(err)
		}
	}
}

// raiseDoubt has the vault of a tier remember damage that is no more.
func (p *duo) raiseDoubt(tier string) {
	p.t.Helper()
	pack := blobs(p.t, filepath.Join(p.dir, tier), "p")[0]
	whole, err := os.ReadFile(pack)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := range 4096 {
		whole[i+len(whole)/3] ^= 0xff
	}
	rewrite(p.t, pack, whole)
	p.types(7, "verify", "--full", "--all", "--tier", tier)
	for i := range 4096 {
		whole[i+len(whole)/3] ^= 0xff
	}
	rewrite(p.t, pack, whole)
}

// healsAll heals a tier, and demands that everything is as it was and that healing again finds nothing.
func (p *duo) healsAll(tier string, files map[string]map[string][]byte) {
	p.t.Helper()
	p.types(0, "verify", "--heal", "--full", "--all", "--tier", tier)
	report := p.stdout + p.stderr
	v := p.open(tier)
	for id, want := range files {
		p.holds(v, id, want)
	}
	if holds, err := v.Holds(p.t.Context()); err != nil || holds["p1"].Reason != "it matters" {
		p.t.Errorf("tier %s: holds %+v, %v\n%s", tier, holds, err, report)
	}
	if err := v.Close(p.t.Context()); err != nil {
		p.t.Error(err)
	}
	p.types(0, "verify", "--heal", "--full", "--all", "--tier", tier)
	if !strings.Contains(p.stdout, "nothing is damaged") {
		p.t.Errorf("healing again finds something:\n%s\nafter:\n%s", p.stdout, report)
	}
}

// TestWipedTier loses all of the first tier: init and replicate make it again from the second.
func TestWipedTier(t *testing.T) {
	p := newDuo(t)
	files := map[string][]byte{"one": someBytes(2<<20, 1)}
	p.take("p1", files)
	p.types(0, "replicate")
	if err := os.RemoveAll(filepath.Join(p.dir, firstTier)); err != nil {
		t.Fatal(err)
	}
	p.types(5, "verify", "--heal", "--all")
	if !strings.Contains(p.stderr, "holdfast init") {
		t.Errorf("no word of what to do:\n%s", p.stderr)
	}
	p.types(0, "init", "--yes")
	p.types(0, "replicate", firstTier, "--from", secondTier)
	p.types(0, "verify", "--full", "--all")
	p.holdsIn(firstTier, "p1", files)
}

// TestLostInBothTiers loses the data of both tiers: what is lost is named by point, component and file, all else is whole, and
// the next backup brings back what its source still has.
func TestLostInBothTiers(t *testing.T) {
	p := newDuo(t)
	one, two := map[string][]byte{"one": someBytes(2<<20, 1)}, map[string][]byte{"two": someBytes(2<<20, 2)}
	p.take("p1", one)
	old := map[string][]string{}
	p.types(0, "replicate")
	for _, tier := range []string{firstTier, secondTier} {
		old[tier] = blobs(t, filepath.Join(p.dir, tier), "p")
	}
	p.take("p2", two)
	p.types(0, "replicate")
	for _, packs := range old {
		for _, file := range packs {
			gone(t, file)
		}
	}
	p.types(7, "verify", "--heal", "--full", "--all")
	if !strings.Contains(p.stdout, "damaged: kolla ctl1 kolla/ctl1/one") || strings.Contains(p.stdout, "kolla/ctl1/two:") {
		t.Errorf("does not name what is lost:\n%s%s", p.stdout, p.stderr)
	}
	p.types(0, "verify", "--full", "p2")
	p.holdsIn(secondTier, "p2", two)
	p.take("p3", one)
	p.types(0, "verify", "--full", "p3")
	p.holdsIn(firstTier, "p1", one) // of which its manifest alone is lost for good
	p.types(7, "verify", "--heal", "--full", "--all", "--tier", secondTier)
	if !slices.Contains(strings.Fields(p.stdout), "healed:") {
		t.Errorf("the second tier is not healed from the first:\n%s", p.stdout)
	}
	p.holdsIn(secondTier, "p1", one)
}

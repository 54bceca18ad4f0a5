package fault

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/test/journey"
)

// TestFullVault fills the vault's file system in the middle of a run, and gives it room again.
func TestFullVault(t *testing.T) {
	s := shared(t)
	s = at(t, s.lab, journey.NewSite(t, s.lab, nil))
	mountVault(t, s.site.Vault)
	s.Init()
	small := s.Backup("kolla")
	before := s.Points()
	limit(t, s.site.Vault, "2m")
	r := s.Try("backup", "mariadb")
	said(t, r, 1, "no space left on device", "shard0/", s.site.Vault)
	limit(t, s.site.Vault, "512m")
	for _, id := range s.Points() {
		if p := s.Show(id); id != small.ID && p.SourceGood("mariadb") {
			t.Errorf("point %s is told as good: %+v", id, p)
		}
	}
	s.kept(before)
	s.next()
}

func mountVault(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("holdfast-fault", dir, "tmpfs", 0, "mode=0700"); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// limit sets how much the file system of the vault holds.
func limit(t *testing.T, dir, size string) {
	t.Helper()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size="+size); err != nil {
		t.Fatal(err)
	}
}

// TestVaultOutOfReach meets a wrong passphrase, a passphrase that is not there, and a vault that is not there.
func TestVaultOutOfReach(t *testing.T) {
	s := aside(t)
	latest := s.Show("latest").ID
	right, err := os.ReadFile(s.site.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	lines := [][]string{{"points"}, {"verify"}, {"backup", "mariadb"}, {"restore", "files", "latest:kolla", "--to", t.TempDir() + "/files", "--yes"}}

	write(t, s.site.Passphrase, "not the passphrase\n")
	for _, line := range lines {
		r := s.Try(line...)
		said(t, r, 5, "wrong passphrase", s.site.Vault)
		if strings.Contains(r.Stderr, "not the passphrase") {
			t.Errorf("the passphrase is told: %s", r.Stderr)
		}
	}
	write(t, s.site.Passphrase, string(right))

	elsewhere := s.site.Vault + ".elsewhere"
	if err := os.Rename(s.site.Vault, elsewhere); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		said(t, s.Try(line...), 5, "not there", s.site.Vault)
	}
	if _, err := os.Stat(s.site.Vault); err == nil {
		t.Error("an absent vault was made by a command that only uses it")
	}
	if err := os.Rename(elsewhere, s.site.Vault); err != nil {
		t.Fatal(err)
	}
	s.kept([]string{latest})
}

// blobs returns the files of a vault whose names begin with prefix, the largest first.
func blobs(t *testing.T, dir, prefix string) []string {
	t.Helper()
	var found []string
	size := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/.holdfast/") {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || !strings.HasPrefix(strings.ReplaceAll(rel, "/", ""), prefix) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size[path] = info.Size()
		if len(found) > 0 && size[found[0]] > info.Size() {
			found = append(found, path)
		} else {
			found = append([]string{path}, found...)
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("blobs %s* in %s: %v, %v", prefix, dir, found, err)
	}
	return found
}

// flip changes 4 KiB in the middle of a file, more than the vault's own error correction mends.
func flip(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	middle := len(data) / 2
	for i := middle; i < min(len(data), middle+4096); i++ {
		data[i] ^= 0xff
	}
	rewrite(t, file, data)
}

func cut(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, file, data[:len(data)/2])
}

func gone(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func rewrite(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, file, string(data))
}

// TestDamagedPack changes, cuts and removes what holds data: verify names the component and the file.
func TestDamagedPack(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(*testing.T, string)
	}{
		{"changed", flip},
		{"cut", cut},
		{"gone", gone},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := aside(t)
			c.harm(t, blobs(t, s.site.Vault, "p")[0])
			r := s.Try("verify", "--full", "--all")
			said(t, r, 7, "damaged")
			if strings.Contains(r.Stdout, "runtime error") {
				t.Errorf("verify broke over it:\n%s", r.Stdout)
			}
			if !strings.Contains(r.Stdout, "damaged: ") || !strings.Contains(r.Stdout, "shard0/") && !strings.Contains(r.Stdout, "kolla") {
				t.Errorf("verify does not name what is damaged:\n%s", r.Stdout)
			}
			if len(s.Points()) == 0 {
				t.Error("the points cannot be listed any more")
			}
			s.Run("verify", "--full", s.next().ID)
		})
	}
}

// TestDamagedDirectories changes, cuts and removes all that describes the data, and with it the list of the points: they
// are listed all the same, verify tells what is lost, a restore of it says so, and the next point is whole.
func TestDamagedDirectories(t *testing.T) {
	for name, harm := range map[string]func(*testing.T, string){"changed": flip, "cut": cut, "gone": gone} {
		t.Run(name, func(t *testing.T) {
			s := aside(t)
			before := s.Points()
			for _, file := range blobs(t, s.site.Vault, "q") {
				harm(t, file)
			}
			s = at(t, s.lab, s.site.Copy(t, s.lab)) // whose cache is empty
			if after := s.Points(); !slices.Equal(after, before) {
				t.Errorf("points are %v, were %v", after, before)
			}
			said(t, s.Try("verify", "--full", "--all"), 7, "damaged")
			if name == "gone" {
				said(t, s.Try("restore", "files", "latest:kolla", "--to", t.TempDir()+"/files", "--yes"), 7, "read directory")
			}
			s.Run("verify", "--full", s.next().ID)
		})
	}
}

// TestDamagedFormat changes and cuts the blob without which no vault opens, and puts it back from the kit.
func TestDamagedFormat(t *testing.T) {
	s := aside(t)
	format := blobs(t, s.site.Vault, "kopia.repository")[0]
	whole, err := os.ReadFile(format)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{"cut": whole[:len(whole)/2], "empty": nil, "changed": bytes.Replace(whole, []byte(`"`), []byte(`x`), 3)} {
		rewrite(t, format, damaged)
		t.Log(name)
		said(t, s.Try("points"), 5, "format blob is damaged", "kopia.repository")
	}
	if err := os.Remove(format); err != nil {
		t.Fatal(err)
	}
	said(t, s.Try("points"), 5, "format blob is missing", "kit")
	saved, err := os.ReadFile(filepath.Join(shared(t).site.State, "kit", "local.kopia.repository"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, format, string(saved))
	s.Run("verify")
}

// TestDamagedIndex cuts every index of a vault: nothing is found by it any more, and nothing is told as good.
func TestDamagedIndex(t *testing.T) {
	s := aside(t)
	for _, file := range blobs(t, s.site.Vault, "x") {
		cut(t, file)
	}
	said(t, s.Try("points"), 5, "index", s.site.Vault)
	said(t, s.Try("verify", "--full"), 5, "index")
	said(t, s.Try("backup", "mariadb"), 5, "index")
}

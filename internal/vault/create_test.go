package vault

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

func TestCreateRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cut := t.TempDir()
	if err := (&directory{path: cut}).claim(t.Context()); err != nil { // where kill -9 leaves it
		t.Fatal(err)
	}
	made := newVault(t).Location().URL
	for _, c := range []struct {
		url, want string
		opts      CreateOptions
	}{
		{full, "precious", CreateOptions{Cloud: testCloud}},
		{cut, "interrupted", CreateOptions{Cloud: testCloud}},
		{made, "a vault already", CreateOptions{Cloud: testCloud}},
		{"s3://bucket/path", "which keys", CreateOptions{Cloud: testCloud}},
		{"ftp://host/path", "cannot keep a vault", CreateOptions{Cloud: testCloud}},
		{filepath.Join(full, "new"), "hash secret", CreateOptions{Cloud: testCloud, HashSecret: secret.New("short")}},
	} {
		err := Create(t.Context(), Location{URL: c.url}, testPass, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) || problem.HintOf(err) == "" {
			t.Errorf("create at %s = %v, hint %q; want %q", c.url, err, problem.HintOf(err), c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(full, "precious")); err != nil {
		t.Error(err)
	}
}

func TestCreateIsPrivateAndShares(t *testing.T) {
	v := newVault(t)
	info, err := os.Stat(v.Location().URL)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode = %v, %v", info.Mode(), err)
	}
	loc := Location{URL: "file://" + filepath.Join(t.TempDir(), "second")}
	if err := Create(t.Context(), loc, testPass, CreateOptions{Cloud: testCloud, HashSecret: v.HashSecret()}); err != nil {
		t.Fatal(err)
	}
	second := openVault(t, loc)
	if second.HashSecret() != v.HashSecret() {
		t.Error("the hash secret is not shared")
	}
	if second.ID() == v.ID() {
		t.Error("two vaults have one identity")
	}
}

func TestOpenTellsWhy(t *testing.T) {
	made := newVault(t).Location().URL
	harmed := func(name string, harm func(dir string) error) string {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(dir, os.DirFS(made)); err != nil {
			t.Fatal(err)
		}
		if err := harm(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	format := func(dir string) string { return filepath.Join(dir, "kopia.repository.f") }
	seen := map[string]string{}
	for _, c := range []struct {
		name, url, want string
		pass            secret.Secret
	}{
		{"absent", filepath.Join(made, "no"), "not there", testPass},
		{"no vault", t.TempDir(), "no vault in this place", testPass},
		{"wrong passphrase", made, "wrong passphrase", secret.New("guess")},
		{"flipped", harmed("f", func(dir string) error { flip(t, format(dir), 700, 8); return nil }), "format blob is damaged", testPass},
		{"truncated", harmed("t", func(dir string) error { return os.Truncate(format(dir), 99) }), "format blob is damaged", testPass},
		{"emptied", harmed("e", func(dir string) error { return os.Truncate(format(dir), 0) }), "format blob is damaged", testPass},
		{"removed", harmed("r", func(dir string) error { return os.Remove(format(dir)) }), "format blob is missing", testPass},
		{"interrupted", harmed("i", func(dir string) error { return os.WriteFile(filepath.Join(dir, creating), nil, 0o600) }), "was interrupted", testPass},
	} {
		v, err := Open(t.Context(), Location{URL: c.url}, c.pass, OpenOptions{Cloud: testCloud})
		if err == nil {
			v.Close(t.Context())
			t.Errorf("%s: opened", c.name)
			continue
		}
		if problem.KindOf(err) != problem.Unreachable || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: kind %d, %v; want %q", c.name, problem.KindOf(err), err, c.want)
		}
		if problem.HintOf(err) == "" || strings.Contains(err.Error(), c.pass.Reveal()) {
			t.Errorf("%s: hint %q, error %v", c.name, problem.HintOf(err), err)
		}
		seen[problem.HintOf(err)] += c.name + " "
	}
	if len(seen) < 4 {
		t.Errorf("hints do not tell the cases apart: %v", seen)
	}
}

// TestNoSecretOnDisk looks for the passphrase and the hash secret in all that a vault leaves behind.
func TestNoSecretOnDisk(t *testing.T) {
	v := newVault(t)
	for _, dir := range []string{v.Location().URL, v.cache} {
		err := filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
			if err != nil || fi.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			for _, s := range []secret.Secret{testPass, v.HashSecret()} {
				if bytes.Contains(data, []byte(s.Reveal())) {
					t.Errorf("%s holds a secret in clear", path)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestKitBlobs(t *testing.T) {
	v := newVault(t)
	blobs, err := v.KitBlobs(t.Context())
	if err != nil || len(blobs["kopia.repository"]) == 0 {
		t.Fatalf("kit = %v, %v", blobs, err)
	}
	if err := os.WriteFile(filepath.Join(v.Location().URL, "kopia.repository.f"), []byte("lost"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), v.Location(), testPass, OpenOptions{Cloud: testCloud}); err == nil {
		t.Fatal("opened without a format blob")
	}
	if err := os.WriteFile(filepath.Join(v.Location().URL, "kopia.repository.f"), blobs["kopia.repository"], 0o600); err != nil {
		t.Fatal(err)
	}
	openVault(t, v.Location())
}

package kit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/internal/secret"
)

func sample(pass string) Kit {
	return Kit{
		Cloud: "paris", Written: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Versions: Versions{"1.0", "0.23.1"},
		Tiers: []Tier{{
			Name: "local", URL: "file:///backup", Passphrase: secret.New(pass),
			Blobs: map[string][]byte{"kopia.repository": []byte("format")},
		}},
		Credentials: []string{"database_password"},
	}
}

func TestWriteKeepsTheKitToItsOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kit")
	if err := Write(dir, sample("correct horse")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), "README.txt kit.json local.kopia.repository local.passphrase"; got != want {
		t.Errorf("kit holds %s, want %s", got, want)
	}
	for _, name := range []string{"README.txt", "kit.json"} {
		data, _ := os.ReadFile(filepath.Join(dir, name))
		if len(data) == 0 || strings.Contains(string(data), "correct horse") {
			t.Errorf("%s is empty or holds the passphrase", name)
		}
	}
}

func TestReadReturnsWhatWasWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kit")
	if _, err := Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no kit: %v", err)
	}
	want := sample("correct horse")
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
}

func TestConfirmHoldsForJustThisKit(t *testing.T) {
	dir, state := filepath.Join(t.TempDir(), "kit"), t.TempDir()
	if _, err := Confirmed(dir, state); err == nil {
		t.Error("a kit counts as confirmed before anybody did")
	}
	if err := Confirm(dir, state, time.Now()); err == nil {
		t.Error("a kit that does not exist was confirmed")
	}
	if err := Write(dir, sample("one")); err != nil {
		t.Fatal(err)
	}
	when := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	if err := Confirm(dir, state, when); err != nil {
		t.Fatal(err)
	}
	if got, err := Confirmed(dir, state); err != nil || !got.Equal(when) {
		t.Errorf("confirmed %v, %v", got, err)
	}
	again := sample("one")
	again.Written = when
	if err := Write(dir, again); err != nil {
		t.Fatal(err)
	}
	if _, err := Confirmed(dir, state); err != nil {
		t.Errorf("writing the same kit again undid its confirmation: %v", err)
	}
	if err := Write(dir, sample("two")); err != nil {
		t.Fatal(err)
	}
	if _, err := Confirmed(dir, state); err == nil {
		t.Error("a kit with another passphrase counts as confirmed")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Confirmed(dir, state); err != nil {
		t.Errorf("a kit that was taken away after its confirmation: %v", err)
	}
}

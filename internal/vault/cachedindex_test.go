package vault

import (
	"context"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/secret"
)

// TestCachedIndexes: indexes that were read before are read again where they may be why a vault does not open, and for no other reason.
func TestCachedIndexes(t *testing.T) {
	loc, state := newVault(t).Location(), t.TempDir()
	opens := func(ctx context.Context, pass secret.Secret) error {
		v, err := Open(ctx, loc, pass, OpenOptions{Cloud: testCloud, State: state})
		if err != nil {
			return err
		}
		writeAndSeal(t, v, "p"+rand.Text())
		return v.Close(t.Context())
	}
	if err := opens(t.Context(), testPass); err != nil {
		t.Fatal(err)
	}
	if err := opens(t.Context(), testPass); err != nil {
		t.Fatal(err)
	}
	cached := func() (files []string) {
		err := filepath.WalkDir(state, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.Contains(name, "/index-blobs/") {
				files = append(files, name)
			}
			return err
		})
		if err != nil || len(files) == 0 {
			t.Fatalf("no index is cached: %v", err)
		}
		return files
	}
	before := len(cached())
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if opens(t.Context(), secret.New("guess")) == nil || opens(stopped, testPass) == nil {
		t.Fatal("it opened")
	}
	if n := len(cached()); n != before {
		t.Errorf("%d indexes are cached of %d", n, before)
	}
	for _, name := range cached() {
		if err := os.WriteFile(name, []byte("junk"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := opens(t.Context(), testPass); err != nil {
		t.Errorf("with junk for indexes: %v", err)
	}
}

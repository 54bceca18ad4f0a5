package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/filesystem"
)

// shardsFile says in a vault that is a directory into which directories below it the blobs are sorted. Without it kopia takes them to be
// sorted as they were long ago, and finds none.
const shardsFile = ".shards"

// shardsLost is an error when a directory with blobs has lost the file: kopia would write another one, and take the vault for empty.
func shardsLost(dir string) error {
	_, blobs := os.Stat(filepath.Join(dir, "q"))
	if _, err := os.Stat(filepath.Join(dir, shardsFile)); dir != "" && blobs == nil && errors.Is(err, fs.ErrNotExist) {
		return errors.New("the file " + shardsFile + ", which says where the blobs are, is missing")
	}
	return nil
}

// mendShards writes the file again that says how the blobs in a directory are sorted, if it is not as Create left it, and reports whether
// it did.
func mendShards(ctx context.Context, dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, "kopia.repository.f")); err != nil {
		if _, err := os.Stat(filepath.Join(dir, "q")); err != nil {
			return false, nil // no vault, or none of ours
		}
	}
	want, err := newShards(ctx)
	if err != nil {
		return false, err
	}
	have, err := os.ReadFile(filepath.Join(dir, shardsFile))
	if err == nil && bytes.Equal(have, want) {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("read how blobs are sorted: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, shardsFile), want); err != nil {
		return false, fmt.Errorf("write how blobs are sorted: %w", err)
	}
	return true, nil
}

// newShards is what the file holds in a new vault.
func newShards(ctx context.Context) ([]byte, error) {
	dir, err := os.MkdirTemp("", "holdfast-shards-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	st, err := filesystem.New(ctx, &filesystem.Options{Path: dir}, true)
	if err != nil {
		return nil, err
	}
	defer st.Close(ctx)
	if err := st.PutBlob(ctx, "q0000000000000000000000000000000000", ownBytes("x"), blob.PutOptions{}); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, shardsFile))
}

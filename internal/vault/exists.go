package vault

import (
	"errors"
	"io/fs"
	"os"
)

// Exists reports whether something is at loc already: a vault, the remains of one, or anything else that Create would
// refuse to write beside. What it is, Open tells.
func Exists(loc Location) (bool, error) {
	dir, err := loc.dir()
	if err != nil {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, loc.unreachable("check the mount and the permissions of "+dir, err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return true, nil
		}
	}
	return false, nil
}

// Dir is the directory that holds the vault.
func (v *Vault) Dir() string { return v.store.root }

package durable

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Update changes what a small JSON file remembers, one process at a time: do is given its content, the zero value where there is
// none, and what that leaves is written unless it reports an error. A file that cannot be understood is put aside as NAME.broken,
// and do begins with nothing.
func Update[T any](name string, do func(*T) error) error {
	unlock, err := Lock(name + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	value, err := Read[T](name)
	var broken *json.SyntaxError
	var other *json.UnmarshalTypeError
	if errors.As(err, &broken) || errors.As(err, &other) {
		value, err = *new(T), os.Rename(name, name+".broken")
	}
	if err != nil {
		return err
	}
	if err := do(&value); err != nil {
		return err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return WriteFile(name, data, 0o600)
}

// Read returns what a small JSON file remembers, the zero value where there is none.
func Read[T any](name string) (value T, err error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return value, nil
	}
	if err != nil {
		return value, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) == 0 {
		data = []byte("?")
	}
	if err := json.Unmarshal(data, &value); err != nil {
		return *new(T), fmt.Errorf("read %s: %w", name, err)
	}
	return value, nil
}

// Lock waits until no other process, or other caller here, holds the lock in a file, and takes it. It ends with its process.
func Lock(name string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f.Close, nil
}

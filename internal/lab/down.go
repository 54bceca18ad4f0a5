package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// Open returns the lab in dir, up or not.
func Open(dir string) (*Lab, error) {
	dir, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, problem.New(problem.NotFound, "bring one up: lab up "+dir, "no lab in %s", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read lab: %w", err)
	}
	var l Lab
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("read %s: %w", stateFile, err)
	}
	l.rootPassword = secret.New(l.Kolla.Passwords[rootPasswordKey])
	return &l, nil
}

// save writes lab.json, whole or not at all.
func (l *Lab) save() error {
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("encode lab: %w", err)
	}
	tmp := l.path(stateFile + ".new")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write lab: %w", err)
	}
	return os.Rename(tmp, l.path(stateFile))
}

// Down stops everything of the lab, whole or half up, and removes its directory.
func (l *Lab) Down(ctx context.Context) error {
	if err := l.stop(ctx); err != nil {
		return err
	}
	return wipe(l.Options.Dir)
}

// stop ends every host; the kernel ends all other processes of a host with its first one, and unmounts what only they
// saw.
func (l *Lab) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dir := l.Options.Dir
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		hosts := findHosts(dir)
		for name, pid := range hosts {
			if err := killVerified(pid, func() bool { return hostOf(pid, dir) == name && isInit(pid) }); err != nil {
				return false, fmt.Errorf("stop host %s: %w", name, err)
			}
		}
		return len(hosts) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("stop lab: %w", err)
	}
	l.lifeline.Close() // harmless if there is none
	return l.removeCgroups(ctx)
}

// Up reports which hosts are up, by name.
func (l *Lab) Up() map[string]bool {
	up := map[string]bool{}
	for name := range findHosts(l.Options.Dir) {
		up[name] = true
	}
	return up
}

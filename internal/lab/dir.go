package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"holdfast/internal/problem"
)

// plainPath is what a lab's directory may look like: it goes into mount options and configuration files unquoted.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9._/@+-]+$`)

// covered are the directories that a host lays its own files over, so that a lab cannot lie below them.
var covered = []string{"/etc", "/proc", "/run", "/var/lib", "/var/log"}

// resolve returns the absolute path of dir without symbolic links, as the mount table will show it. What does not
// exist yet is taken as it is.
func resolve(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolve directory: %w", err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, os.ErrNotExist) && filepath.Dir(abs) != abs {
		parent, err := resolve(filepath.Dir(abs))
		return filepath.Join(parent, filepath.Base(abs)), err
	}
	if err != nil {
		return "", fmt.Errorf("resolve directory: %w", err)
	}
	return real, nil
}

// usable says why dir cannot hold a lab.
func usable(dir string) error {
	if !plainPath.MatchString(dir) || filepath.Dir(dir) == dir {
		return problem.New(problem.Usage, "choose a directory of letters, digits and ._@+-", "unusable directory %q", dir)
	}
	for _, c := range covered {
		if strings.HasPrefix(dir+"/", c+"/") {
			return problem.New(problem.Usage, "choose a directory outside "+strings.Join(covered, ", "), "a lab cannot lie in %s", c)
		}
	}
	return nil
}

// claimDir makes dir the lab's own: absent, empty, or the remains of a lab that no longer runs, which are removed.
func claimDir(dir string, log func(string)) error {
	if err := usable(dir); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, stateFile)); err == nil {
		if len(findHosts(dir)) > 0 {
			return problem.New(problem.Busy, "take it down first: lab down "+dir, "a lab is already up in %s", dir)
		}
		log("removing a lab that is no longer up")
		if err := wipe(dir); err != nil {
			return err
		}
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return problem.New(problem.Usage, "give a new or an empty directory", "%s is not empty and holds no lab", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create lab directory: %w", err)
	}
	return nil
}

// wipe removes a lab's directory.
func wipe(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove lab: %w", err)
	}
	return nil
}

package vault

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"holdfast/internal/problem"
)

// Location says where the vault of a tier is. URL is an absolute path or file:///path.
type Location struct {
	Tier string
	URL  string
}

// dir returns the directory of a vault on a filesystem.
func (l Location) dir() (string, error) {
	if strings.HasPrefix(l.URL, "/") {
		return filepath.Clean(l.URL), nil
	}
	u, err := url.Parse(l.URL)
	if err != nil {
		return "", problem.New(problem.Usage, "write the tier's url as file:///path", "tier %s: url %q: %w", l.Tier, l.URL, err)
	}
	local := u.Host == "" || u.Host == "localhost"
	if u.Scheme == "file" && local && strings.HasPrefix(u.Path, "/") {
		return filepath.Clean(u.Path), nil
	}
	return "", problem.New(problem.Usage, "only file:///path is supported as yet", "tier %s: cannot keep a vault at %q", l.Tier, l.URL)
}

// existing returns the directory of a vault that must be there already.
func (l Location) existing() (string, error) {
	dir, err := l.dir()
	if err != nil {
		return "", err
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", l.unreachable("mount its filesystem, or make the vault with: holdfast init", errors.New("the directory is not there"))
	case err != nil:
		return "", l.unreachable("check the mount and the permissions of "+dir, err)
	case !info.IsDir():
		return "", l.unreachable("the tier's url must name a directory", errors.New("not a directory"))
	}
	return dir, nil
}

func (l Location) unreachable(hint string, cause error) error {
	return &problem.Error{Kind: problem.Unreachable, Op: "open vault", Target: l.URL, Cause: cause, Hint: hint}
}

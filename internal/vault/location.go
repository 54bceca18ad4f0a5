package vault

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
	"holdfast/internal/s3"
)

// Location says where the vault of a tier is, and how it is reached. URL is an absolute path, file:///path, s3://BUCKET/PREFIX or
// sftp://USER@HOST:PORT/PATH.
type Location struct {
	Tier      string
	URL       string
	S3        *S3    // for s3://
	SSHConfig string // for sftp://, the file that ssh reads in the place of ~/.ssh/config; "" is that
	// At, unless zero, shows the vault as it was then, for reading alone, in a bucket that keeps versions.
	At time.Time
}

// S3 says how a bucket is reached.
type S3 struct {
	Endpoint  string // http:// or https://HOST[:PORT]; "" is AWS
	Region    string
	PathStyle bool
	CA        string // file of certificates in PEM; "" are the system's
	// Keys returns the keys as they are at the moment.
	Keys func(context.Context) (s3.Keys, error)
	// The storage classes of packs of data, of packs of directories, and of indexes; "" is the bucket's own.
	Packs, Directories, Indexes string
}

// classes are the storage classes by the letter that the names of blobs begin with.
func (s *S3) classes() map[blob.ID]string {
	classes := map[blob.ID]string{}
	for prefix, class := range map[blob.ID]string{"p": s.Packs, "q": s.Directories, "x": s.Indexes} {
		if class != "" {
			classes[prefix] = class
		}
	}
	return classes
}

// scheme is "file" for a path.
func (l Location) scheme() string {
	scheme, _, ok := strings.Cut(l.URL, "://")
	if !ok {
		return "file"
	}
	return scheme
}

// place names the vault among those of all stores.
func (l Location) place() string {
	place := l.URL
	if l.S3 != nil && l.S3.Endpoint != "" {
		place += " at " + l.S3.Endpoint
	}
	if !l.At.IsZero() {
		place += " of " + l.At.UTC().Format(time.RFC3339)
	}
	return place
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
	return "", problem.New(problem.Usage, "write file:///PATH, s3://BUCKET/PREFIX or sftp://USER@HOST/PATH", "tier %s: cannot keep a vault at %q", l.Tier, l.URL)
}

// unreachable keeps the hint of a cause that knows better.
func (l Location) unreachable(hint string, cause error) error {
	if better := problem.HintOf(cause); better != "" {
		hint = better
	}
	return &problem.Error{Kind: problem.Unreachable, Op: "open vault", Target: l.URL, Cause: cause, Hint: hint}
}

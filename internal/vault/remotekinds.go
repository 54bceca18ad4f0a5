package vault

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
	"holdfast/internal/s3"
	"holdfast/internal/sftp"
)

// BucketName returns the bucket and the prefix of s3://BUCKET/PREFIX.
func bucketName(l Location) (bucket, prefix string, err error) {
	u, err := url.Parse(l.URL)
	if err != nil || u.Host == "" {
		return "", "", problem.New(problem.Usage, "write it as s3://BUCKET/PREFIX", "tier %s: url %q names no bucket", l.Tier, l.URL)
	}
	if prefix = strings.Trim(u.Path, "/"); prefix != "" {
		prefix += "/"
	}
	return u.Host, prefix, nil
}

// s3Options are those of the bucket of a location.
func (l Location) s3Options() (o s3.Options, err error) {
	if o.Bucket, o.Prefix, err = bucketName(l); err != nil {
		return o, err
	}
	if l.S3 == nil || l.S3.Keys == nil {
		return o, problem.New(problem.Usage, "add s3: with access_key and secret_key to the tier", "tier %s: nothing says with which keys %s is opened", l.Tier, l.URL)
	}
	o.Endpoint, o.Region, o.PathStyle, o.CA, o.Keys = l.S3.Endpoint, l.S3.Region, l.S3.PathStyle, l.S3.CA, l.S3.Keys
	o.Class, o.At = l.S3.classes(), l.At
	return o, nil
}

func newBucketHome(l Location) (home, error) {
	o, err := l.s3Options()
	if err != nil {
		return nil, err
	}
	return &remote{
		loc: l, percent: eccInBucket, advice: "check the tier's url and s3: in holdfast.yml",
		connect: func(ctx context.Context) (blob.Storage, error) { return s3.Open(ctx, o) },
	}, nil
}

// newSFTPHome runs the ssh of this host, so that its keys, jump hosts and known hosts serve.
func newSFTPHome(l Location) (home, error) {
	u, err := url.Parse(l.URL)
	if err != nil || u.Hostname() == "" || u.Path == "" {
		return nil, problem.New(problem.Usage, "write it as sftp://USER@HOST:PORT/PATH", "tier %s: url %q names no host and path", l.Tier, l.URL)
	}
	args := []string{"-T", "-x", "-oBatchMode=yes", "-oControlMaster=no", "-oConnectTimeout=20", "-oServerAliveInterval=15", "-oServerAliveCountMax=4"}
	if l.SSHConfig != "" {
		args = append(args, "-F", l.SSHConfig)
	}
	if u.Port() != "" {
		args = append(args, "-p", u.Port())
	}
	host := u.Hostname()
	if name := u.User.Username(); name != "" {
		host = name + "@" + host
	}
	o := sftp.Options{Command: append(append([]string{"ssh"}, args...), host), Path: u.Path}
	return &remote{
		loc: l, percent: eccOnDisk, advice: "try: sftp " + sftpTarget(l, u) + ", and check its keys, known_hosts and permissions",
		connect: func(ctx context.Context) (blob.Storage, error) {
			dir, err := sftp.Open(ctx, o)
			if err != nil {
				return nil, fmt.Errorf("connect to %s: %w", u.Host, err)
			}
			return dir, nil
		},
	}, nil
}

// sftpTarget is what an operator gives to sftp to look for himself.
func sftpTarget(l Location, u *url.URL) string {
	target := (&url.URL{Scheme: "sftp", User: u.User, Host: u.Host}).String()
	if l.SSHConfig != "" {
		return "-F " + l.SSHConfig + " " + target
	}
	return target
}

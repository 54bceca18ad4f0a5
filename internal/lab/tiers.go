package lab

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// ColdClass is a storage class of the gateway beside the usual one.
const ColdClass = "STANDARD_IA"

// tierBucket is where the S3 tier of the lab's own holdfast.yml is.
const tierBucket = "holdfast"

// S3 returns a client of the gateway, as the owner of the buckets.
func (l *Lab) S3() (*minio.Client, error) {
	text, err := os.ReadFile(l.path("secrets/s3"))
	if err != nil {
		return nil, fmt.Errorf("read keys of S3: %w", err)
	}
	access, secret, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	u, err := url.Parse(l.Ceph.Endpoint)
	if err != nil {
		return nil, err
	}
	return minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(access, secret, ""), Region: "us-east-1"})
}

// MakeBucket makes a bucket that can lock what it holds, or one that cannot.
func (l *Lab) MakeBucket(ctx context.Context, name string, locking bool) error {
	c, err := l.S3()
	if err != nil {
		return err
	}
	if err := c.MakeBucket(ctx, name, minio.MakeBucketOptions{ObjectLocking: locking}); err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	return nil
}

// S3Tier is the tier in holdfast.yml of a bucket, or of the place "BUCKET/PREFIX" in one. A store in between stands in for the
// gateway when endpoint is not "".
func (l *Lab) S3Tier(name, place, endpoint string, more ...string) string {
	if endpoint == "" {
		endpoint = l.Ceph.Endpoint
	}
	return l.tierText(name, "s3://"+place, append([]string{fmt.Sprintf("s3: {endpoint: %q, path_style: true, access_key: {file: %s}, secret_key: {file: %s}}",
		endpoint, l.path("secrets/s3.access"), l.path("secrets/s3.secret"))}, more...)...)
}

// SFTPTier is the tier in holdfast.yml of a directory that the first host serves.
func (l *Lab) SFTPTier(name, dir string, more ...string) string {
	place := fmt.Sprintf("sftp://%s@127.0.0.1:%d%s", l.Hosts[0].User, l.Hosts[0].Port, dir)
	return l.tierText(name, place, append([]string{"ssh_config: " + l.path("ssh/config")}, more...)...)
}

func (l *Lab) tierText(name, url string, more ...string) string {
	lines := append([]string{"- name: " + name, "  url: " + url, "  passphrase: {file: " + l.path("secrets", "passphrase."+name) + "}", "  keep: 1y"}, more...)
	for i := 4; i < len(lines); i++ {
		lines[i] = "  " + lines[i]
	}
	return "  " + strings.Join(lines, "\n  ") + "\n"
}

// MoreTiers are those of the lab's own holdfast.yml after the first, if it was asked for them.
func (l *Lab) MoreTiers() (text string) {
	if !l.Options.Tiers {
		return ""
	}
	if l.Ceph != nil {
		text += l.S3Tier("s3", tierBucket+"/lab", "", "lock: {mode: compliance, days: 3}")
	}
	return text + l.SFTPTier("offsite", l.path("offsite"))
}

// writeSSHConfig writes what ssh needs to reach the hosts.
func (l *Lab) writeSSHConfig() error {
	return l.put("ssh/config", 0o600, fmt.Sprintf("Host *\n  IdentityFile %s\n  UserKnownHostsFile %s\n  IdentitiesOnly yes\n  StrictHostKeyChecking yes\n",
		l.path("ssh/id_ed25519"), l.path("ssh/known_hosts")))
}

// addColdClass makes a second storage class; the gateway learns it when it starts.
func (l *Lab) addColdClass(ctx context.Context) error {
	for _, args := range [][]string{
		{"zonegroup", "placement", "add", "--rgw-zonegroup=default"},
		{"zone", "placement", "add", "--rgw-zone=default", "--data-pool=default.rgw.buckets.data"},
	} {
		args = append([]string{"radosgw-admin", "-c", l.Ceph.Conf}, args...)
		if _, err := l.Run(ctx, cephHost, append(args, "--placement-id=default-placement", "--storage-class="+ColdClass)...); err != nil {
			return err
		}
	}
	return nil
}

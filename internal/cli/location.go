package cli

import (
	"context"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/problem"
	"holdfast/internal/s3"
	"holdfast/internal/secret"
	"holdfast/internal/vault"
)

// location says where the vault of a tier is and how it is reached. Keys are read when they are needed, and again when the store
// refuses them.
func (a *app) location(t config.Tier) vault.Location {
	loc := vault.Location{Tier: t.Name, URL: t.URL, SSHConfig: t.SSHConfig}
	if t.S3 == nil {
		return loc
	}
	loc.S3 = &vault.S3{
		Endpoint: t.S3.Endpoint, Region: t.S3.Region, PathStyle: t.S3.PathStyle, CA: t.S3.CA,
		Packs: t.S3.Classes.Packs, Directories: t.S3.Classes.Directories, Indexes: t.S3.Classes.Indexes,
		Keys: func(ctx context.Context) (s3.Keys, error) { return a.keys(ctx, t) },
	}
	return loc
}

// locationAt is location for reading, as it was at the time that --at gives.
func (a *app) locationAt(t config.Tier) (loc vault.Location, err error) {
	if loc = a.location(t); a.at == "" {
		return loc, nil
	}
	if t.S3 == nil {
		return loc, problem.New(problem.Usage, "name a tier in a bucket with --tier", "tier %s does not keep what was: --at needs a bucket that keeps versions", t.Name)
	}
	for _, form := range []string{time.RFC3339, dateTime, "2006-01-02 15:04", "2006-01-02T15:04"} {
		if loc.At, err = time.Parse(form, a.at); err == nil {
			return loc, nil
		}
	}
	return loc, problem.New(problem.Usage, "write it in UTC, as 2026-01-31T22:00:00Z", "--at %q is not a time", a.at)
}

// keys are those of the tier's bucket as they are now.
func (a *app) keys(ctx context.Context, t config.Tier) (k s3.Keys, err error) {
	for _, part := range []struct {
		what string
		ref  config.SecretRef
		dst  *secret.Secret
	}{{"access_key", t.S3.AccessKey, &k.Access}, {"secret_key", t.S3.SecretKey, &k.Secret}, {"session_token", t.S3.Token, &k.Token}} {
		if part.ref.IsZero() {
			continue
		}
		if *part.dst, err = secret.Resolve(ctx, part.ref, secret.Options{What: part.what + " of tier " + t.Name, Warn: a.warn}); err != nil {
			return k, err
		}
	}
	return k, nil
}

package vault

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/kopia/kopia/repo/blob"

	"holdfast/internal/problem"
)

// tierBlobs are copies of the format blobs of the other tiers' vaults, one for each tier. They are sealed by the passphrase of
// their own vault, as they are there.
const tierBlobs blob.ID = "holdfast.tier."

// keptFormat is what stands in the blob of a format.
type keptFormat struct {
	Tier  string            `json:"tier"`
	Blobs map[string][]byte `json:"blobs"`
}

// formatName tells nothing of the tier to those who do not have the vault's secret.
func (v *Vault) formatName(tier string) (blob.ID, error) {
	key, err := v.ownKey("formats")
	if err != nil {
		return "", fmt.Errorf("name format of tier %s: %w", tier, err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(tier))
	return tierBlobs + blob.ID(hex.EncodeToString(mac.Sum(nil)[:16])), nil
}

// KeepFormat keeps a copy of another vault's format blobs, by which Rescue opens that one when it has lost them.
func (v *Vault) KeepFormat(ctx context.Context, of *Vault) error {
	blobs, err := of.KitBlobs(ctx)
	if err != nil {
		return err
	}
	if have, err := v.Format(ctx, of.loc.Tier); err == nil && maps.EqualFunc(have, blobs, bytes.Equal) {
		return nil
	}
	name, err := v.formatName(of.loc.Tier)
	if err == nil {
		err = v.keep(ctx, name, keptFormat{of.loc.Tier, blobs})
	}
	if err != nil {
		return problem.Wrap(err, "keep format of tier "+of.loc.Tier+" in vault", v.loc.URL)
	}
	return nil
}

// Format returns the copy of the format blobs of a tier's vault that KeepFormat kept.
func (v *Vault) Format(ctx context.Context, tier string) (map[string][]byte, error) {
	name, err := v.formatName(tier)
	if err != nil {
		return nil, err
	}
	var f keptFormat
	if err := v.kept(ctx, name, &f); err != nil {
		return nil, err
	}
	return f.Blobs, nil
}

package vault

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/kopia/kopia/repo/blob"
)

// Blobs of Holdfast's own, beside those of kopia. kopia finds its blobs by the letters their names begin with, and no
// such letter is an h: it leaves these alone, and what copies a vault copies them too.
const (
	doubtBlobs  blob.ID = "holdfast.doubt." // contents that were found damaged
	recordBlobs blob.ID = "holdfast.point." // what kopia keeps of a sealed point in packs that all points share
)

// ownKeySize is that of AES-256.
const ownKeySize = 32

// ownKey derives a key from the vault's secret, which a change of the passphrase does not change.
func (v *Vault) ownKey(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, v.repo.FormatManager().GetMasterKey(), nil, "holdfast "+purpose, ownKeySize)
}

func (v *Vault) ownCipher() (cipher.AEAD, error) {
	key, err := v.ownKey("blobs")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// keep writes a value as a blob, compressed, encrypted, and authenticated with its name; it lasts once keep returns.
func (v *Vault) keep(ctx context.Context, name blob.ID, value any) error {
	if err := v.put(ctx, name, value); err != nil {
		return err
	}
	return v.store.sync()
}

// put is keep for what may be gone after a power cut.
func (v *Vault) put(ctx context.Context, name blob.ID, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode blob %s: %w", name, err)
	}
	c, err := v.ownCipher()
	if err != nil {
		return fmt.Errorf("seal blob %s: %w", name, err)
	}
	sealed := c.Seal(nil, nil, s2.EncodeBetter(nil, data), []byte(name))
	if err := v.store.PutBlob(ctx, name, ownBytes(sealed), blob.PutOptions{}); err != nil {
		return fmt.Errorf("write blob %s: %w", name, err)
	}
	return nil
}

// kept reads what keep wrote.
func (v *Vault) kept(ctx context.Context, name blob.ID, into any) error {
	var sealed outputBuffer
	if err := v.store.GetBlob(ctx, name, 0, -1, &sealed); err != nil {
		return fmt.Errorf("read blob %s: %w", name, err)
	}
	return v.unseal(name, sealed.Bytes(), into)
}

// unseal decodes the bytes of a blob that keep wrote.
func (v *Vault) unseal(name blob.ID, sealed []byte, into any) error {
	c, err := v.ownCipher()
	if err != nil {
		return fmt.Errorf("open blob %s: %w", name, err)
	}
	packed, err := c.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return fmt.Errorf("open blob %s: %w", name, err)
	}
	data, err := s2.Decode(nil, packed)
	if err != nil {
		return fmt.Errorf("decompress blob %s: %w", name, err)
	}
	return json.Unmarshal(data, into)
}

// drop removes a blob that keep wrote, if it is there.
func (v *Vault) drop(ctx context.Context, name blob.ID) error {
	if err := v.store.DeleteBlob(ctx, name); err != nil {
		return fmt.Errorf("remove blob %s: %w", name, err)
	}
	return nil
}

func (v *Vault) keptNames(ctx context.Context, prefix blob.ID) (names []blob.ID, err error) {
	err = v.store.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
		names = append(names, m.BlobID)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list blobs %s*: %w", prefix, err)
	}
	return names, nil
}

// ownBytes are the bytes of a blob as kopia's storage takes them.
type ownBytes []byte

func (b ownBytes) Length() int { return len(b) }

func (b ownBytes) Reader() io.ReadSeekCloser { return openBytes{bytes.NewReader(b)} }

func (b ownBytes) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

type openBytes struct{ *bytes.Reader }

func (openBytes) Close() error { return nil }

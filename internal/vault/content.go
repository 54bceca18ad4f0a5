package vault

import (
	"bytes"
	"context"
	"crypto/aes"
	"errors"
	"fmt"
	"io"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"

	"holdfast/internal/s3"
)

// readsAgain is how often what does not open is read again.
const readsAgain = 2

// content reads a content that is in the store: from its pack, decrypted and authenticated, and decompressed. kopia's
// own reader would first write it to its cache of data, with a sync, and remove it again: that cache cannot be switched
// off without the one of indexes. A content's hash is authenticated with it, so that none can be taken for another.
func (v *Vault) content(ctx context.Context, info content.Info) ([]byte, error) {
	if info.EncryptionKeyID != 0 {
		return nil, fmt.Errorf("content %v has the unknown key %d", info.ContentID, info.EncryptionKeyID)
	}
	load := func(out blob.OutputBuffer) error {
		return v.store.GetBlob(ctx, info.PackBlobID, int64(info.PackOffset), int64(info.PackedLength), out)
	}
	hash := info.ContentID.Hash()
	var data []byte
	err := again(ctx, func(now context.Context) (err error) {
		ctx = now // which load uses
		data, err = unseal(v.repo.FormatManager().Encryptor().Decrypt, load, hash[len(hash)-aes.BlockSize:], info)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read content %v at %d of pack %v: %w", info.ContentID, info.PackOffset, info.PackBlobID, err)
	}
	return data, nil
}

// again reads once more, past what was read ahead, what is there and could not be used: the way from the store may have damaged it.
func again(ctx context.Context, read func(context.Context) error) error {
	err := read(ctx)
	for n := 0; err != nil && n < readsAgain && ctx.Err() == nil && !absent(err); n++ {
		err = read(s3.Fresh(ctx))
	}
	return err
}

// absent reports whether an error says that what was to be read is not there.
func absent(err error) bool {
	return errors.Is(err, blob.ErrBlobNotFound) || errors.Is(err, content.ErrContentNotFound) || errors.Is(err, object.ErrObjectNotFound)
}

// sealBuffer is what kopia's encryptors write to.
type sealBuffer[B any] interface {
	blob.OutputBuffer
	Bytes() B
	ToByteSlice() []byte
	Close()
}

// sealBytes is how kopia's encryptors take their input.
type sealBytes interface{ Reader() io.ReadSeekCloser }

// unseal decrypts and decompresses what load brings. The types of kopia's buffers, B and W, have no name outside of it;
// they follow from its encryptor.
func unseal[B sealBytes, W any](decrypt func(B, []byte, *W) error, load func(blob.OutputBuffer) error, id []byte, info content.Info) ([]byte, error) {
	var sealedBuffer, openBuffer W
	sealed, open := any(&sealedBuffer).(sealBuffer[B]), any(&openBuffer).(sealBuffer[B])
	defer sealed.Close()
	defer open.Close()
	if err := load(sealed); err != nil {
		return nil, err
	}
	if err := decrypt(sealed.Bytes(), id, &openBuffer); err != nil {
		return nil, err
	}
	if info.CompressionHeaderID == 0 {
		return open.ToByteSlice(), nil
	}
	c, ok := compression.ByHeaderID[info.CompressionHeaderID]
	if !ok {
		return nil, fmt.Errorf("unknown compression %x", info.CompressionHeaderID)
	}
	var plain outputBuffer
	plain.Grow(int(info.OriginalLength) + bytes.MinRead) // it wants room to find the end
	if err := c.Decompress(&plain, open.Bytes().Reader(), true); err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return plain.Bytes(), nil
}

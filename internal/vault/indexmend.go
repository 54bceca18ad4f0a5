package vault

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"golang.org/x/sync/errgroup"
)

// Index blobs begin with x. Those of epochs (xn), compacted epochs (xs) and ranges of them (xr) name contents; what marks an
// epoch (xe) or a deletion (xw) says all by its name.
const epochMark = "xe"

func namesContents(id blob.ID) bool {
	return strings.HasPrefix(string(id), "xn") || strings.HasPrefix(string(id), "xs") || strings.HasPrefix(string(id), "xr")
}

// dropBadIndexes removes the indexes that cannot be read, after it has set them aside, and returns what it did, in words.
func (v *Vault) dropBadIndexes(ctx context.Context, state string) (done []string, err error) {
	all, err := blob.ListAllBlobs(ctx, v.store, "x")
	if err != nil {
		return nil, fmt.Errorf("list indexes: %w", err)
	}
	epoch, marked := 0, 0
	for _, m := range all {
		epoch = max(epoch, epochOf(m.BlobID))
		if after, ok := strings.CutPrefix(string(m.BlobID), epochMark); ok {
			n, _ := strconv.Atoi(after)
			marked = max(marked, n)
		}
		bad, err := v.badIndex(ctx, m.BlobID)
		if err != nil {
			return done, err
		}
		if !bad {
			continue
		}
		if err := v.dropIndex(ctx, state, m.BlobID); err != nil {
			return done, err
		}
		done = append(done, fmt.Sprintf("index %s could not be read and was set aside", m.BlobID))
	}
	if epoch > marked { // kopia would not look for what was written since
		mark := blob.ID(epochMark + strconv.Itoa(epoch))
		if err := v.store.PutBlob(ctx, mark, ownBytes("epoch-marker"), blob.PutOptions{}); err != nil {
			return done, fmt.Errorf("write blob %s: %w", mark, err)
		}
		done = append(done, "blob "+string(mark)+" was lost and written again")
	}
	return done, v.store.sync()
}

// epochOf returns the epoch of an index that is not compacted yet: xn2_….
func epochOf(id blob.ID) int {
	after, ok := strings.CutPrefix(string(id), "xn")
	number, _, cut := strings.Cut(after, "_")
	n, err := strconv.Atoi(number)
	if !ok || !cut || err != nil {
		return 0
	}
	return n
}

func (v *Vault) dropIndex(ctx context.Context, state string, id blob.ID) error {
	var data outputBuffer
	if err := v.store.GetBlob(ctx, id, 0, -1, &data); err == nil {
		if err := v.setAside(state, id, data.Bytes()); err != nil {
			return err
		}
	}
	if err := v.store.DeleteBlob(ctx, id); err != nil && !errors.Is(err, blob.ErrBlobNotFound) {
		return fmt.Errorf("remove index %s: %w", id, err)
	}
	return nil
}

// badIndex reports whether an index is damaged in the store: it was read twice, and both times it was none. That it cannot be
// read at all is an error, and no reason to give it up.
func (v *Vault) badIndex(ctx context.Context, id blob.ID) (bool, error) {
	if !namesContents(id) {
		return false, nil
	}
	for range 2 {
		sound, err := v.soundIndex(id, func(out blob.OutputBuffer) error { return v.store.GetBlob(ctx, id, 0, -1, out) })
		switch {
		case errors.Is(err, blob.ErrBlobNotFound): // compacted meanwhile
			return false, nil
		case err != nil:
			return false, fmt.Errorf("read index %s: %w", id, err)
		case sound:
			return false, nil
		}
	}
	return true, nil
}

// soundIndex reports whether what get reads is an index. An error is one of the reading.
func (v *Vault) soundIndex(id blob.ID, get func(blob.OutputBuffer) error) (sound bool, err error) {
	f := v.repo.FormatManager()
	load := func(out blob.OutputBuffer) error {
		err = get(out)
		return err
	}
	perr := parseIndexBlob(f.Encryptor().Decrypt, content.ParseIndexBlob, load, id, f)
	return perr == nil, err
}

// parseIndexBlob proves that an index can be read. Kopia's types B, W and C have no name outside of it.
func parseIndexBlob[B sealBytes, W, C any](_ func(B, []byte, *W) error, parse func(blob.ID, B, C) ([]content.Info, error), load func(blob.OutputBuffer) error, id blob.ID, crypter any) error {
	var buffer W
	sealed, ok := any(&buffer).(sealBuffer[B])
	with, can := crypter.(C)
	if !ok || !can {
		return errors.New("kopia reads its indexes in another way")
	}
	defer sealed.Close()
	if err := load(sealed); err != nil {
		return err
	}
	return guard(func() error {
		_, err := parse(id, sealed.Bytes(), with)
		return err
	})
}

// nameAgain looks in packs for contents that no index names, and names them: in those packs that no index speaks of, or in all.
// It returns how many contents that were, and the packs whose own index could not be read.
func (v *Vault) nameAgain(ctx context.Context, all bool) (named int, unread []blob.ID, err error) {
	if err := v.repo.Refresh(ctx); err != nil {
		return 0, nil, fmt.Errorf("refresh: %w", err)
	}
	p, err := listPacks(ctx, v.store)
	if err != nil {
		return 0, nil, err
	}
	if !all {
		every := content.IteratePackOptions{IncludePacksWithOnlyDeletedContent: true}
		err := v.repo.ContentReader().IteratePacks(ctx, every, func(i content.PackInfo) error {
			delete(p.known, i.PackID)
			return nil
		})
		if err != nil {
			return 0, nil, fmt.Errorf("list packs of the indexes: %w", err)
		}
	}
	var mu sync.Mutex
	err = v.write(ctx, "recover", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(replicaParallel)
		for id, length := range p.known {
			g.Go(func() error {
				n, err := namePack(ctx, w, id, length)
				mu.Lock()
				defer mu.Unlock()
				named += n
				if err != nil {
					unread = append(unread, id)
				}
				return ctx.Err()
			})
		}
		return g.Wait()
	})
	return named, unread, err
}

// namePack names again what lies in a pack, if any of it is not named.
func namePack(ctx context.Context, w repo.DirectRepositoryWriter, id blob.ID, length int64) (n int, err error) {
	m := w.ContentManager()
	var infos []content.Info
	err = guard(func() (err error) {
		infos, err = m.RecoverIndexFromPackBlob(ctx, id, length, false)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, i := range infos {
		if _, err := w.ContentInfo(ctx, i.ContentID); errors.Is(err, content.ErrContentNotFound) {
			n++
		}
	}
	if n == 0 {
		return 0, nil
	}
	if _, err := m.RecoverIndexFromPackBlob(ctx, id, length, true); err != nil {
		return 0, err
	}
	return n, nil
}

// namedAgain tells in words what nameAgain did, and of how many packs nobody can tell what they hold.
func namedAgain(named int, unread []blob.ID) string {
	said := fmt.Sprintf("%d pieces that no index named any more were found in their packs", named)
	if len(unread) > 0 {
		said += fmt.Sprintf("; packs that do not tell what they hold, since their own index cannot be read: %d, one is %s", len(unread), unread[0])
	}
	return said
}

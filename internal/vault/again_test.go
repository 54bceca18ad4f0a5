package vault

import (
	"bytes"
	"context"
	"io/fs"
	"sync"
	"testing"

	"github.com/kopia/kopia/repo/blob"
)

// garbling is a store whose way spoils each part of a pack when it is read for the first time.
type garbling struct {
	blob.Storage
	*garbled
}

type garbled struct {
	mu   sync.Mutex
	seen map[garbledPart]bool
}

type garbledPart struct {
	id     blob.ID
	offset int64
}

func (g garbling) GetBlob(ctx context.Context, id blob.ID, offset, length int64, out blob.OutputBuffer) error {
	if err := g.Storage.GetBlob(ctx, id, offset, length, out); err != nil || length <= 0 {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if part := (garbledPart{id, offset}); hasPrefix(id, "p", "q") && !g.seen[part] {
		g.seen[part] = true
		var whole outputBuffer
		if err := g.Storage.GetBlob(ctx, id, offset, length, &whole); err != nil {
			return err
		}
		data := whole.Bytes()
		for i := range data { // more than what error correction mends
			data[i] ^= 0x55
		}
		out.Reset()
		_, err := out.Write(data)
		return err
	}
	return nil
}

// TestGarbledOnTheWay: what the way from the store damages once is read again, in every kind of reading, and nothing of it counts as
// damaged.
func TestGarbledOnTheWay(t *testing.T) {
	v := newVault(t)
	imagePoint(t, v, "p1", "", upTo(20)...)
	heldPoint(t, v, "p2")
	far := func() (*Vault, *garbled) {
		v := openVault(t, v.Location())
		g := &garbled{seen: map[garbledPart]bool{}}
		v.store.Storage = garbling{v.store.Storage, g}
		return v, g
	}
	other, g := far()
	if rep, err := other.Verify(t.Context(), "", VerifyOptions{Depth: Full}); err != nil || len(rep.Damaged) > 0 {
		t.Errorf("verified: %v, %v", rep.Damaged, err)
	}
	if doubts, err := other.doubted(t.Context()); err != nil || doubts.len() > 0 {
		t.Errorf("%d contents are in doubt, %v", doubts.len(), err)
	}
	t.Logf("%d parts were garbled", len(g.seen))
	other, g = far()
	fsys, err := other.FS(t.Context(), "p2", "kolla")
	check(t, err)
	if data, err := fs.ReadFile(fsys, "a/f"); err != nil || !bytes.Equal(data, []byte("p2")) || len(g.seen) == 0 {
		t.Errorf("read %q, %v, with %d parts garbled", data, err, len(g.seen))
	}
	other, g = far()
	second := secondVault(t, v)
	if copied := replicate(t, other, second); len(copied) != 2 || len(g.seen) == 0 {
		t.Errorf("copied %+v, with %d parts garbled", copied, len(g.seen))
	}
}

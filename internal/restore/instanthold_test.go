package restore

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/point"
	"holdfast/internal/secret"
	"holdfast/internal/vault"
)

// TestPointOfInstantRestoreIsHeld from when something may depend on it until nothing does.
func TestPointOfInstantRestoreIsHeld(t *testing.T) {
	ctx := t.Context()
	loc := vault.Location{Tier: "local", URL: filepath.Join(t.TempDir(), "vault")}
	pass := secret.New("words")
	if err := vault.Create(ctx, loc, pass, vault.CreateOptions{Cloud: "x"}); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(ctx, loc, pass, vault.OpenOptions{Cloud: "x", State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close(context.Background())
	p := point.Point{ID: point.NewID(noon), Cloud: "x", Started: noon, Finished: noon, State: point.Complete, Components: []point.Component{}}
	if err := v.SealPoint(ctx, p); err != nil {
		t.Fatal(err)
	}
	r, state := &Restorer{Vault: v, Now: func() time.Time { return noon }}, t.TempDir()
	make := func() *Instant {
		i := &Instant{r: r, record: newDependent(state, noon), fresh: true}
		i.record.Address, i.record.Point = "127.0.0.1:0", p.ID
		return i
	}
	held := func() string {
		h, err := v.Holds(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return h[p.ID].Reason
	}
	a, b := make(), make()
	during := func(i *Instant, then func()) {
		if err := i.serving(ctx, func(context.Context) error { then(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	during(a, func() {
		if held() == "" {
			t.Error("while the image is served a prune may remove its point")
		}
	})
	if held() == "" {
		t.Error("cut off: a prune may remove the point, and resume has nothing to go on with")
	}
	during(b, func() {})
	if err := a.forget(ctx); err != nil || held() == "" {
		t.Errorf("b still depends on it: %v", err)
	}
	if err := b.forget(ctx); err != nil || held() != "" {
		t.Errorf("nothing depends on it any more: %v, %q", err, held())
	}
	if err := v.Hold(ctx, p.ID, point.Hold{Reason: "audit"}); err != nil {
		t.Fatal(err)
	}
	c := make()
	during(c, func() {})
	if err := c.forget(ctx); err != nil || held() != "audit" {
		t.Errorf("the operator's hold: %v, %q", err, held())
	}
}

package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
)

// Content is a number of bytes that no compressor makes smaller; the same seed gives the same bytes.
func Content(bytes int64, seed uint64) io.Reader {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return io.LimitReader(rand.NewChaCha8(key), bytes)
}

// Upload makes a public image of raw data.
func (c *Cloud) Upload(ctx context.Context, name string, data io.Reader) (Item, error) {
	var image Item
	_, err := c.call(ctx, "POST", c.at(Image), map[string]any{
		"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public",
	}, &image)
	if err != nil {
		return image, fmt.Errorf("make image %s: %w", name, err)
	}
	if _, err := c.call(ctx, "PUT", c.at(Image)+"/"+image.ID+"/file", io.NopCloser(data), nil); err != nil {
		return image, fmt.Errorf("upload image %s: %w", name, err)
	}
	return c.Await(ctx, Image, image.ID, "active")
}

// NewVolume is a volume to be made, empty or of one of the others.
type NewVolume struct {
	Name     string `json:"name"`
	GiB      int    `json:"size,omitempty"`
	Image    string `json:"imageRef,omitempty"`
	Snapshot string `json:"snapshot_id,omitempty"`
	Volume   string `json:"source_volid,omitempty"`
	Backup   string `json:"backup_id,omitempty"`
}

// Create makes a volume and waits until it can be used.
func (c *Cloud) Create(ctx context.Context, v NewVolume) (Item, error) {
	return c.make(ctx, Volume, c.at(Volume), v)
}

// Snap makes a snapshot of a volume.
func (c *Cloud) Snap(ctx context.Context, volume, name string) (Item, error) {
	return c.make(ctx, Snapshot, c.at(Snapshot), map[string]any{"volume_id": volume, "name": name})
}

// BackUp has Cinder make a backup of a volume of its own, in the pool backups; an incremental one builds on the newest
// before it.
func (c *Cloud) BackUp(ctx context.Context, volume, name string, incremental bool) (Item, error) {
	return c.make(ctx, Backup, c.at(Backup), map[string]any{"volume_id": volume, "name": name, "incremental": incremental})
}

// Manage makes a volume of an image that is in the pool already, which gets the volume's name. The pool is called as
// Cinder does.
func (c *Cloud) Manage(ctx context.Context, pool, image, name string) (Item, error) {
	return c.make(ctx, Volume, c.volumes+"/manageable_volumes", map[string]any{
		"host": pool, "ref": map[string]string{"source-name": image}, "name": name,
	})
}

// make has Cinder make something and waits until it can be used.
func (c *Cloud) make(ctx context.Context, k Kind, url string, what any) (Item, error) {
	var answer json.RawMessage
	if _, err := c.call(ctx, "POST", url, map[string]any{string(k): what}, &answer); err != nil {
		return Item{}, err
	}
	item, err := unwrap(k, answer)
	if err != nil {
		return item, err
	}
	return c.Await(ctx, k, item.ID, "available")
}

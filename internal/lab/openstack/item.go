package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Kind is a kind of things that the cloud keeps.
type Kind string

// The kinds that can be made here.
const (
	Image    Kind = "image"
	Volume   Kind = "volume"
	Snapshot Kind = "snapshot"
	Backup   Kind = "backup"
)

// Item is one of the things that the cloud keeps.
type Item struct {
	ID     string
	Name   string
	Status string
	Size   int64 // bytes of an image, GiB of everything else
}

// at is where things of a kind are asked for.
func (c *Cloud) at(k Kind) string {
	if k == Image {
		return c.images + "/images"
	}
	return c.volumes + "/" + string(k) + "s"
}

// Get asks for one thing. Code tells 404 when it is gone.
func (c *Cloud) Get(ctx context.Context, k Kind, id string) (Item, error) {
	var answer json.RawMessage
	if _, err := c.call(ctx, "GET", c.at(k)+"/"+id, nil, &answer); err != nil {
		return Item{}, err
	}
	return unwrap(k, answer)
}

// unwrap decodes an answer, which Cinder puts into an envelope.
func unwrap(k Kind, answer json.RawMessage) (item Item, err error) {
	if k == Image {
		err = json.Unmarshal(answer, &item)
		return item, err
	}
	var envelope map[Kind]Item
	err = json.Unmarshal(answer, &envelope)
	return envelope[k], err
}

// List asks for all things of a kind, of all projects.
func (c *Cloud) List(ctx context.Context, k Kind) ([]Item, error) {
	url := c.at(k) + "/detail?all_tenants=1"
	if k == Image {
		url = c.at(k) + "?limit=1000"
	}
	var answer map[string]json.RawMessage
	if _, err := c.call(ctx, "GET", url, nil, &answer); err != nil {
		return nil, err
	}
	var items []Item
	if err := json.Unmarshal(answer[string(k)+"s"], &items); err != nil {
		return nil, fmt.Errorf("list %ss: %w", k, err)
	}
	return items, nil
}

// Delete asks for a thing to be deleted. Images are gone when it returns; of others AwaitGone tells.
func (c *Cloud) Delete(ctx context.Context, k Kind, id string) error {
	_, err := c.call(ctx, "DELETE", c.at(k)+"/"+id, nil, nil)
	return err
}

// Await waits until a thing has a status and returns it. It gives up when that is an error and was not waited for.
func (c *Cloud) Await(ctx context.Context, k Kind, id, status string) (item Item, err error) {
	err = await(ctx, func(ctx context.Context) (bool, error) {
		item, err = c.Get(ctx, k, id)
		if err == nil && item.Status != status && strings.HasPrefix(item.Status, "error") {
			err = fmt.Errorf("%s %s is %s", k, id, item.Status)
		}
		return item.Status == status, err
	})
	if err != nil {
		return item, fmt.Errorf("wait until %s %s is %s (it is %q): %w", k, id, status, item.Status, err)
	}
	return item, nil
}

// AwaitGone waits until a thing is no more. It gives up when deleting it failed.
func (c *Cloud) AwaitGone(ctx context.Context, k Kind, id string) error {
	err := await(ctx, func(ctx context.Context) (bool, error) {
		item, err := c.Get(ctx, k, id)
		switch {
		case Code(err) == http.StatusNotFound:
			return true, nil
		case err != nil:
			return false, err
		case strings.HasPrefix(item.Status, "error"):
			return false, fmt.Errorf("%s is %s", k, item.Status)
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("wait until %s %s is gone: %w", k, id, err)
	}
	return nil
}

// Remove deletes a thing and waits until it is gone.
func (c *Cloud) Remove(ctx context.Context, k Kind, id string) error {
	if err := c.Delete(ctx, k, id); err != nil {
		return err
	}
	return c.AwaitGone(ctx, k, id)
}

package ceph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"holdfast/internal/cephcmd"
)

// poolFacts is what is known of the block images in a pool.
type poolFacts struct {
	Pool       string            `json:"pool"`
	Namespaces []string          `json:"namespaces"`
	Metadata   map[string]string `json:"metadata"`
	Mirror     string            `json:"mirror_mode"`
	Contents   []namespaceFacts  `json:"contents"`
	Unknown    unknown           `json:"unknown,omitempty"`
}

// namespaceFacts is what is in one namespace of a pool.
type namespaceFacts struct {
	Namespace string            `json:"namespace"`
	Images    []json.RawMessage `json:"images,omitempty"`
	Trash     json.RawMessage   `json:"trash"`
	Groups    []string          `json:"groups"`
	Unknown   unknown           `json:"unknown,omitempty"`
}

// unknown is why some facts are not known, by their name.
type unknown map[string]struct {
	Code int    `json:"code"`
	Said string `json:"said"`
}

// imagePatience is how long each image has for its facts, its clones in all pools among them.
const imagePatience = 2 * time.Minute

// images asks for the facts of every pool that is for block images.
func (c *capture) images() []asking {
	var list []asking
	for _, p := range c.osds.of("rbd") {
		list = append(list, asking{cephcmd.ImagesOf(p.Name, imagePatience), func(a cephcmd.Answer) error { return c.takePool(p.Name, a) }})
	}
	return list
}

// takePool writes a pool's facts: what it is, and a list of images for each namespace.
func (c *capture) takePool(name string, a cephcmd.Answer) error {
	dir := "pools/" + url.PathEscape(name)
	about := Entry{
		File: dir + "/pool.json", Command: "rbd namespace ls, trash ls, group ls, pool info; pool " + name,
		For: "namespaces, trash, groups and settings of pool " + name, Back: "rbd namespace create, for each of namespaces",
	}
	if a.Err != 0 {
		return c.keepAnswer(about, a, looksAt(name), inJSON)
	}
	var p poolFacts
	if err := json.Unmarshal(a.Body, &p); err != nil {
		return fmt.Errorf("read the facts of pool %s: %w", name, err)
	}
	c.doubt(&about, name, "", p.Unknown)
	for n := range p.Contents {
		space := &p.Contents[n]
		c.doubt(&about, name, space.Namespace, space.Unknown)
		if err := c.keepImages(dir, name, space); err != nil {
			return err
		}
	}
	c.parsed++
	return c.put(about, readable(p))
}

// keepImages writes the images of a namespace, one in a line, and leaves the rest of what is known of it.
func (c *capture) keepImages(dir, pool string, space *namespaceFacts) error {
	e := Entry{Command: "rbd info, snap ls --all, children, image-meta ls; each image of " + pool, For: "the facts of every image in pool " + pool}
	if space.Namespace != "" {
		dir += "/namespaces/" + url.PathEscape(space.Namespace)
		e.For += ", namespace " + space.Namespace
	}
	e.File = dir + "/images.json"
	for _, text := range space.Images {
		var i struct {
			Name    string  `json:"name"`
			Unknown unknown `json:"unknown"`
		}
		if err := json.Unmarshal(text, &i); err != nil {
			return fmt.Errorf("read the facts of an image in pool %s: %w", pool, err)
		}
		c.doubt(&e, pool, i.Name, i.Unknown)
	}
	c.imageCount += len(space.Images)
	lines := bytes.Join(raw(space.Images), []byte(",\n"))
	space.Images = nil
	c.parsed++
	return c.put(e, slices.Concat([]byte("[\n"), lines, []byte("\n]\n")))
}

func raw(texts []json.RawMessage) [][]byte {
	var out [][]byte
	for _, t := range texts {
		out = append(out, t)
	}
	return out
}

// doubt records that a file does not hold all it should. The first reason is told; others are mostly the same.
func (c *capture) doubt(e *Entry, pool, of string, why unknown) {
	for _, fact := range slices.Sorted(maps.Keys(why)) {
		a := cephcmd.Answer{Err: syscall.Errno(why[fact].Code), Said: why[fact].Said}
		reason := said(a)
		if a.Denied() {
			reason = c.denied(looksAt(pool))
		}
		if e.State != Incomplete {
			e.State, e.Reason = Incomplete, strings.TrimSpace(fact+" "+of)+": "+reason
		}
	}
}

package mariadb

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// smallEntry is the size in bytes up to which an archive's entry is kept: manifests and configurations are far smaller.
const smallEntry = 1 << 20

// archive is what the save of an image holds.
type archive struct {
	entries  map[string]entry
	size     int64
	layers   int
	verified int
}

type entry struct {
	sum   string // sha256 in hex, of a file
	link  bool
	small []byte
}

// readArchive reads a whole image archive, and r to its end.
func readArchive(r io.Reader) (archive, error) {
	a := archive{entries: map[string]entry{}}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return a, fmt.Errorf("read image archive: %w", err)
		}
		if err := a.add(h, tr); err != nil {
			return a, fmt.Errorf("read image archive, %s: %w", h.Name, err)
		}
	}
	_, err := io.Copy(io.Discard, r) // padding
	return a, err
}

func (a *archive) add(h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	if h.Typeflag != tar.TypeReg {
		a.entries[name] = entry{link: h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink}
		return nil
	}
	hash := sha256.New()
	var small bytes.Buffer
	w := io.Writer(hash)
	if h.Size <= smallEntry {
		w = io.MultiWriter(hash, &small)
	}
	n, err := io.Copy(w, r)
	a.size += n
	a.entries[name] = entry{sum: hex.EncodeToString(hash.Sum(nil)), small: small.Bytes()}
	return err
}

// prove checks that the archive is the image id, whole: its configuration or manifest has that digest, and every layer that the
// manifest names is there with the digest that its name or the configuration gives it.
func (a *archive) prove(id string) error {
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(a.entries["manifest.json"].small, &manifest); err != nil || len(manifest) != 1 {
		return errors.New("the archive has no manifest of one image")
	}
	config := a.entries[path.Clean(manifest[0].Config)]
	if config.sum != id && a.entries["blobs/sha256/"+id].sum != id { // an engine may name an image by its manifest
		return fmt.Errorf("the archive's configuration is not that of image %s", id)
	}
	var image struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config.small, &image); err != nil {
		return fmt.Errorf("read the image's configuration: %w", err)
	}
	a.layers = len(manifest[0].Layers)
	if a.layers == 0 || a.layers != len(image.RootFS.DiffIDs) {
		return fmt.Errorf("the archive names %d layers, the image has %d", a.layers, len(image.RootFS.DiffIDs))
	}
	for i, layer := range manifest[0].Layers {
		if err := a.proveLayer(path.Clean(layer), strings.TrimPrefix(image.RootFS.DiffIDs[i], "sha256:")); err != nil {
			return err
		}
	}
	return nil
}

// proveLayer checks one layer. One that is stored compressed has the digest of its name instead of the configuration's;
// one that is a link stands elsewhere in the archive under its own name.
func (a *archive) proveLayer(name, digest string) error {
	e, ok := a.entries[name]
	switch {
	case !ok:
		return fmt.Errorf("the archive lacks layer %s", name)
	case e.link:
		return nil
	case e.sum != digest && e.sum != path.Base(name):
		return fmt.Errorf("layer %s is damaged: its digest is %s", name, e.sum)
	}
	a.verified++
	return nil
}

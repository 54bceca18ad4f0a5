package mariadb

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// image makes an archive of one image with one layer, as an engine saves it, and returns it with the image's id.
func image(t *testing.T, layer, stored string) ([]byte, string) {
	t.Helper()
	config := fmt.Sprintf(`{"rootfs":{"diff_ids":["sha256:%s"]}}`, digest(layer))
	id := digest(config)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range [][2]string{
		{"abc/layer.tar", stored}, {id + ".json", config},
		{"manifest.json", `[{"Config":"` + id + `.json","Layers":["abc/layer.tar"]}]`},
	} {
		if err := w.WriteHeader(&tar.Header{Name: e[0], Size: int64(len(e[1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), id
}

func TestImageArchiveProvesItself(t *testing.T) {
	data, id := image(t, "layer", "layer")
	a, err := readArchive(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.prove(id); err != nil || a.layers != 1 || a.verified != 1 {
		t.Errorf("%d layers, %d verified, %v", a.layers, a.verified, err)
	}
	if err := a.prove(digest("another")); err == nil {
		t.Error("took it for another image")
	}
}

func TestImageArchiveDamageIsFound(t *testing.T) {
	data, id := image(t, "layer", "lAyer")
	a, err := readArchive(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.prove(id); err == nil || !strings.Contains(err.Error(), "abc/layer.tar is damaged") {
		t.Errorf("a changed layer: %v", err)
	}
	whole, id := image(t, "layer", "layer")
	for cut := 0; cut <= len(whole)-1024-512; cut += 256 { // behind that come padding and the end mark
		a, err := readArchive(bytes.NewReader(whole[:cut]))
		if err == nil {
			err = a.prove(id)
		}
		if err == nil {
			t.Fatalf("an archive cut at %d of %d passed", cut, len(whole))
		}
	}
}

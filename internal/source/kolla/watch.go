package kolla

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/internal/stream"
)

// watchedTree counts what goes into a tree and looks into the certificates that pass.
type watchedTree struct {
	stream.Tree
	files, bytes atomic.Int64

	mu    sync.Mutex
	certs []certificate
}

// certificate is one that was captured.
type certificate struct {
	Path    string    `json:"path"`
	Subject string    `json:"subject"`
	Ends    time.Time `json:"not_after"`
}

const (
	maxCertFile = 256 << 10           // larger files are no certificates
	warnBefore  = 30 * 24 * time.Hour // of a certificate's end
)

var certExtensions = []string{".pem", ".crt", ".cert", ".cer"}

// Create starts a file.
func (t *watchedTree) Create(name string, m stream.Meta, h stream.Hint) (stream.File, error) {
	f, err := t.Tree.Create(name, m, h)
	if err != nil {
		return nil, err
	}
	w := &watchedFile{File: f, tree: t, name: name}
	if slices.Contains(certExtensions, path.Ext(name)) {
		w.text = &bytes.Buffer{}
	}
	return w, nil
}

type watchedFile struct {
	stream.File
	tree *watchedTree
	name string
	text *bytes.Buffer // nil when the file cannot hold certificates
}

func (f *watchedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.tree.bytes.Add(int64(n))
	if f.text != nil {
		if f.text.Write(p[:n]); f.text.Len() > maxCertFile {
			f.text = nil
		}
	}
	return n, err
}

func (f *watchedFile) Skip(n int64) error {
	f.tree.bytes.Add(n)
	f.text = nil // a text has no holes
	return f.File.Skip(n)
}

func (f *watchedFile) Close() error {
	if err := f.File.Close(); err != nil {
		return err
	}
	f.tree.files.Add(1)
	if f.text != nil {
		f.tree.learn("/"+f.name, f.text.Bytes())
	}
	return nil
}

// learn remembers the certificates in a PEM file.
func (t *watchedTree) learn(name string, text []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			t.certs = append(t.certs, certificate{name, cert.Subject.String(), cert.NotAfter.UTC()})
		}
	}
}

// describe puts the certificates into the component's identity and notes the ones that end soon.
func (t *watchedTree) describe(c *capture) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.certs) == 0 {
		return
	}
	slices.SortFunc(t.certs, func(a, b certificate) int {
		if d := a.Ends.Compare(b.Ends); d != 0 {
			return d
		}
		return strings.Compare(a.Path, b.Path)
	})
	c.identity["certificates"] = t.certs
	c.identity["first_certificate_end"] = t.certs[0].Ends
	for _, cert := range t.certs {
		if left := cert.Ends.Sub(c.now); left < warnBefore {
			c.note("certificate %s (%s) %s", cert.Path, cert.Subject, endsIn(left, cert.Ends))
		}
	}
}

func endsIn(left time.Duration, end time.Time) string {
	day := end.Format(time.DateOnly)
	if left < 0 {
		return "has ended on " + day
	}
	return fmt.Sprintf("ends on %s, in %d days", day, int(left.Hours()/24))
}

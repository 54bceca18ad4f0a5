package journey

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/lab"
)

// Site is a place of its own from which a lab is backed up: another vault and state than the lab's, the same cloud.
type Site struct {
	Dir, Config, Vault, State, Passphrase string
}

// NewSite makes a site below the lab's directory. Edit, if there is one, changes its configuration.
func NewSite(t testing.TB, l *lab.Lab, edit func(config string) string) Site {
	t.Helper()
	dir, err := os.MkdirTemp(l.Options.Dir, "site-")
	if err != nil {
		t.Fatal(err)
	}
	s := Site{
		Dir: dir, Config: filepath.Join(dir, "holdfast.yml"), Vault: filepath.Join(dir, "vault"),
		State: filepath.Join(dir, "state"), Passphrase: filepath.Join(dir, "passphrase"),
	}
	text, err := os.ReadFile(l.Config())
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for old, own := range map[string]string{
		l.Options.Dir + "/state": s.State, l.Options.Dir + "/vault": s.Vault, l.Options.Dir + "/secrets/passphrase": s.Passphrase,
	} {
		config = strings.ReplaceAll(config, old, own)
	}
	if edit != nil {
		config = edit(config)
	}
	s.write(t, s.Config, config)
	s.write(t, s.Passphrase, fmt.Sprintf("%s-%s\n", "a passphrase of its own", filepath.Base(dir)))
	return s
}

func (s Site) write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// At returns an operator who works from a site.
func At(t testing.TB, s Site) *Operator {
	t.Helper()
	return &Operator{t: t, Binary: Binary(t), Config: s.Config}
}

// Copy makes a second site with a copy of s's vault, without its state, so that a test can damage it.
func (s Site) Copy(t testing.TB, l *lab.Lab) Site {
	t.Helper()
	c := NewSite(t, l, nil)
	if err := os.CopyFS(c.Vault, os.DirFS(s.Vault)); err != nil {
		t.Fatal(err)
	}
	pass, err := os.ReadFile(s.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, c.Passphrase, string(pass))
	return c
}

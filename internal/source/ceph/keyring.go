package ceph

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"strings"
)

// Entity is who may use a cluster, without the key.
type Entity struct {
	Name string
	Caps map[string]string // by service
	key  [sha256.Size]byte // the key's hash
}

// SameKey reports whether two entities have the same key.
func (e Entity) SameKey(other Entity) bool { return e.key == other.key }

// ParseKeyring reads who is in a keyring, and keeps no key.
func ParseKeyring(text []byte) map[string]Entity {
	all := map[string]Entity{}
	var e Entity
	for line := range lines(text) {
		if name, ok := section(line); ok {
			e = Entity{Name: name, Caps: map[string]string{}}
			all[name] = e
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || e.Name == "" {
			continue
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if service, ok := strings.CutPrefix(key, "caps "); ok {
			e.Caps[strings.TrimSpace(service)] = unquoted(value)
		} else if key == "key" {
			e.key = sha256.Sum256([]byte(value))
			all[e.Name] = e
		}
	}
	return all
}

func lines(text []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		s := bufio.NewScanner(bytes.NewReader(text))
		for s.Scan() && yield(strings.TrimSpace(s.Text())) {
		}
	}
}

func section(line string) (string, bool) {
	name, ok := strings.CutPrefix(line, "[")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "]")
}

// unquoted is a value of a keyring without its quotes.
func unquoted(v string) string {
	if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
		v = v[1 : len(v)-1]
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(v)
}

// clients leaves the sections of clients that no cluster makes for itself.
func clients(keyring []byte) []byte {
	var out bytes.Buffer
	wanted := false
	for line := range bytes.Lines(keyring) {
		if name, ok := section(strings.TrimSpace(string(line))); ok {
			wanted = strings.HasPrefix(name, "client.") && name != "client.admin" && !strings.HasPrefix(name, "client.bootstrap-")
		}
		if wanted {
			out.Write(line)
		}
	}
	return out.Bytes()
}

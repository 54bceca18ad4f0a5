// Package secret keeps passwords out of sight. A Secret prints as [redacted] under every formatting verb and in JSON,
// YAML and slog; only Reveal gives the text, so that a search for Reveal finds every place where a secret leaves.
package secret

import "log/slog"

const redacted = "[redacted]"

// Secret is a password or key. The zero value is the empty secret.
type Secret struct{ text string }

// New keeps text as a Secret.
func New(text string) Secret { return Secret{text} }

// Reveal returns the text; pass it straight on to what needs it.
func (s Secret) Reveal() string { return s.text }

// Empty reports whether there is no secret.
func (s Secret) Empty() bool { return s.text == "" }

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// GoString returns a placeholder.
func (s Secret) GoString() string { return redacted }

// MarshalText returns a placeholder, which JSON and YAML encoders use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns a placeholder for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

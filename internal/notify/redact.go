package notify

import (
	"regexp"
	"slices"
	"strings"

	"holdfast/internal/coverage"
	"holdfast/internal/secret"
)

// What looks like a secret in what others said, whoever let it get there: credentials and tokens in URLs, and words that are set
// to a value.
var suspicious = []struct {
	is *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@"']+@`), "${1}[redacted]@"},
	{regexp.MustCompile(`(?i)([?&][^\s=&"']*(?:token|key|sig|secret|passw|auth|cred)[^\s=&"']*=)[^\s&"']+`), "${1}[redacted]"},
	{regexp.MustCompile(`(?i)\b((?:proxy-)?authorization\s*[:=]\s*(?:(?:basic|bearer|digest)\s+)?)[^\s,"';]+`), "${1}[redacted]"},
	{regexp.MustCompile(`(?i)\b([a-z0-9_-]*(?:password|passwd|passphrase|secret_?key|private_?key|secret|token|api_?key|access_?key)(?:"\s*:\s*"|'\s*:\s*'|\s*=\s*["']?|:["']?))[^\s,"';&]+`), "${1}[redacted]"},
	{regexp.MustCompile(`(?i)\b([a-z0-9_-]*(?:password|passwd|passphrase|secret_?key|private_?key|secret|token|api_?key|access_?key): +)[^\s,"';&{]+([,;}"']|$)`), "${1}[redacted]$2"},
	{regexp.MustCompile(`(?i)(https?://[^\s"']*/)(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[A-Za-z0-9_-]{20,})(/[^\s"']*)?`), "${1}[redacted]"},
	{regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|$)`), "[redacted]"},
}

// clean takes out of a text what is secret, or looks like it.
func (t *Teller) clean(text string) string {
	t.mu.Lock()
	known := t.secrets
	t.mu.Unlock()
	text = secret.Redact(text, known...)
	for _, s := range suspicious {
		text = s.is.ReplaceAllString(text, s.by)
	}
	return text
}

// mostText bounds what others said.
const mostText = 2000

// brief is clean for what is kept: no longer than anybody reads.
func (t *Teller) brief(text string) string {
	text = t.clean(text)
	if len(text) > mostText {
		text = strings.ToValidUTF8(text[:mostText], "") + "…"
	}
	return text
}

func (t *Teller) cleanAll(texts []string) []string {
	for i := range texts {
		texts[i] = t.clean(texts[i])
	}
	return texts
}

// cleanOverview takes secrets out of what others said in an overview, in the place of which it puts a copy.
func (t *Teller) cleanOverview(o *coverage.Overview) {
	o.Kit = t.clean(o.Kit)
	o.Tiers, o.Broken, o.Components = slices.Clone(o.Tiers), slices.Clone(o.Broken), slices.Clone(o.Components)
	for i := range o.Tiers {
		o.Tiers[i].Error = t.brief(o.Tiers[i].Error)
		o.Tiers[i].Held, o.Tiers[i].Found = nil, nil // points are not needed, and many
	}
	for i := range o.Broken {
		o.Broken[i].Text = t.brief(o.Broken[i].Text)
	}
	for i, x := range o.Components {
		if x.Reason != "" {
			o.Components[i].Reason = t.brief(x.Reason)
		}
	}
}

// hide has clean take a secret out of everything that is told from now on.
func (t *Teller) hide(s secret.Secret) secret.Secret {
	const short = 4 // what is shorter would take words apart
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, known := range t.secrets {
		if known == s {
			return s
		}
	}
	if len(s.Reveal()) >= short {
		t.secrets = append(t.secrets[:len(t.secrets):len(t.secrets)], s)
	}
	return s
}

package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

func (w *writer) notify(n Notify) {
	usual := (n.Digest == Digest{} || n.Digest == DefaultDigest) && (n.On == nil || slices.Equal(n.On, News))
	if n.Mail == nil && n.Webhook == nil && n.Ping == nil && usual {
		return
	}
	w.line("")
	w.comment("Who is told of failures, recoveries, broken promises and, from time to time, of everything. Try it with: holdfast notify test")
	w.key("notify", "", false)
	w.nest("  ", func() {
		if n.Mail != nil {
			w.mail(*n.Mail)
		}
		if n.Webhook != nil {
			w.key("webhook", renderKeys("url", renderAddress(n.Webhook.URL), "secret", renderRef(n.Webhook.Secret), "ca", quoted(n.Webhook.CA)), false)
		}
		if n.Ping != nil {
			w.ping(*n.Ping)
		}
		w.key("digest", n.Digest.String(), n.Digest == DefaultDigest || n.Digest == Digest{})
		if n.On != nil {
			w.key("on", "["+strings.Join(n.On, ", ")+"]", slices.Equal(n.On, News))
		}
	})
}

func (w *writer) mail(m Mail) {
	w.key("mail", "", false)
	w.nest("  ", func() {
		w.key("server", quote(m.Server), false)
		w.key("port", strconv.Itoa(m.Port), m.Port == mailPort(m.TLS))
		w.key("tls", m.TLS, m.TLS == "starttls")
		if m.CA != "" {
			w.key("ca", quote(m.CA), false)
		}
		if m.User != "" {
			w.key("user", quote(m.User), false)
			w.key("password", renderRef(m.Password), false)
		}
		w.key("from", quote(m.From), false)
		var to []string
		for _, a := range m.To {
			to = append(to, quote(a))
		}
		w.key("to", "["+strings.Join(to, ", ")+"]", false)
	})
}

func (w *writer) ping(p Ping) {
	var jobs []string
	for _, name := range slices.Sorted(maps.Keys(p.Jobs)) {
		jobs = append(jobs, quote(name), renderAddress(p.Jobs[name]))
	}
	all := ""
	if len(jobs) > 0 {
		all = renderKeys(jobs...)
	}
	w.key("ping", renderKeys("url", renderAddress(p.URL), "jobs", all), false)
}

// renderKeys writes a mapping of pairs; those without a value are left out.
func renderKeys(pairs ...string) string {
	var parts []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			parts = append(parts, pairs[i]+": "+pairs[i+1])
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return quote(text)
}

func renderRef(r SecretRef) string {
	if r.IsZero() {
		return ""
	}
	return renderKeys("file", quoted(r.File), "command", quoted(r.Command))
}

func renderAddress(a Address) string {
	if a.Plain != "" {
		return quote(a.Plain)
	}
	return renderRef(a.Ref)
}

package config

import (
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"holdfast/internal/suggest"
)

// Notify says who is told, and how.
type Notify struct {
	Mail    *Mail    // nil: no mail
	Webhook *Webhook // nil: no webhook
	Ping    *Ping    // nil: no ping
	Digest  Digest
	On      []string // of News, what is told; default all
}

// News are the kinds of what is told, in the order in which a message has them.
var News = []string{"failure", "promise", "recovery", "digest"}

// Mail says how mail leaves this host.
type Mail struct {
	Server   string // name or address
	Port     int    // default 587, 465 with TLS implicit, 25 with TLS none
	TLS      string // starttls (default), implicit or none
	CA       string // file of certificates in PEM; "" are the system's
	User     string // "" is no authentication
	Password SecretRef
	From     string
	To       []string
}

// Webhook is an address that JSON is posted to.
type Webhook struct {
	URL    Address
	Secret SecretRef // that bodies are signed with
	CA     string    // file of certificates in PEM; "" are the system's
}

// Ping is a dead man's switch: an address that is asked for when a job begins, and when it has ended. Its silence alarms.
type Ping struct {
	URL  Address
	Jobs map[string]Address // of single jobs, by name
}

// Address is a URL in plain sight, or one that is a secret.
type Address struct {
	Plain string
	Ref   SecretRef
}

// IsZero reports whether there is no address.
func (a Address) IsZero() bool { return a == Address{} }

// Digest says when all is told that is known.
type Digest struct {
	Every string        // daily, weekly or none
	Day   time.Weekday  // of weekly
	At    time.Duration // since midnight, on this host's clock
}

// DefaultDigest is sent where nothing is said.
var DefaultDigest = Digest{Every: "daily", Day: time.Monday, At: 8 * time.Hour}

func (d *decoder) notify(dst *Notify) reader {
	return func(n *yaml.Node, at string) {
		d.mapping(n, at,
			optional("mail", func(n *yaml.Node, at string) { dst.Mail = d.mail(n, at) }),
			optional("webhook", func(n *yaml.Node, at string) { dst.Webhook = d.webhook(n, at) }),
			optional("ping", func(n *yaml.Node, at string) { dst.Ping = d.ping(n, at) }),
			optional("digest", d.digest(&dst.Digest)),
			optional("on", func(n *yaml.Node, at string) {
				dst.On = nil
				list(d, &dst.On, d.news)(n, at)
			}),
		)
	}
}

func defaultNotify() Notify { return Notify{Digest: DefaultDigest, On: slices.Clone(News)} }

func (d *decoder) news(n *yaml.Node, at string) (kind string) {
	d.text(&kind, oneOf(News...))(n, at)
	return kind
}

func (d *decoder) mail(n *yaml.Node, at string) *Mail {
	m := &Mail{TLS: "starttls"}
	found := d.mapping(n, at,
		required("server", d.text(&m.Server, aServer)),
		optional("port", d.count(&m.Port, 65535)),
		optional("tls", d.text(&m.TLS, oneOf("starttls", "implicit", "none"))),
		optional("ca", d.path(&m.CA)),
		optional("user", d.text(&m.User)),
		optional("password", d.secret(&m.Password, "file", "command")),
		required("from", d.text(&m.From, aMailbox)),
		required("to", list(d, &m.To, d.mailbox)),
	)
	if m.Port == 0 {
		m.Port = mailPort(m.TLS)
	}
	if (found["user"] == nil) != (found["password"] == nil) {
		d.fault(n, "give both, or neither where the server asks for none", "%s has only one of user and password", at)
	}
	if m.TLS == "none" && m.User != "" && !local(m.Server) {
		d.fault(found["tls"], "use starttls or implicit", "%s: a password does not leave this host in clear", join(at, "tls"))
	}
	return m
}

func mailPort(tls string) int {
	return map[string]int{"starttls": 587, "implicit": 465, "none": 25}[tls]
}

// local reports whether a server is this host.
func local(server string) bool {
	ip := net.ParseIP(server)
	return server == "localhost" || ip != nil && ip.IsLoopback()
}

func (d *decoder) mailbox(n *yaml.Node, at string) (box string) {
	d.text(&box, aMailbox, d.unique("recipient"))(n, at)
	return box
}

// aServer accepts the name or the address of a host.
func aServer(_ *yaml.Node, text string) (wrong, hint string) {
	if net.ParseIP(text) != nil || !strings.ContainsAny(text, ":/@ \t") && !strings.HasPrefix(text, "-") {
		return "", ""
	}
	return fmt.Sprintf("%q is not the name of a server", text), "give its port as port:"
}

// aMailbox accepts an address of mail without a name.
func aMailbox(_ *yaml.Node, text string) (wrong, hint string) {
	a, err := mail.ParseAddress(text)
	if err == nil && a.Address == text && !strings.ContainsAny(text, "\r\n") {
		return "", ""
	}
	return fmt.Sprintf("%q is not an address of mail", text), "write it as backup@example.org"
}

func (d *decoder) webhook(n *yaml.Node, at string) *Webhook {
	w := &Webhook{}
	d.mapping(n, at,
		required("url", d.address(&w.URL)),
		optional("secret", d.secret(&w.Secret, "file", "command")),
		optional("ca", d.path(&w.CA)),
	)
	return w
}

func (d *decoder) ping(n *yaml.Node, at string) *Ping {
	p := &Ping{}
	found := d.mapping(n, at,
		optional("url", d.address(&p.URL)),
		optional("jobs", d.addresses(&p.Jobs)),
	)
	if len(found) == 0 {
		d.fault(n, "add url: {file: …}", "%s has no address", at)
	}
	return p
}

// address reads a URL, or where one is that is a secret.
func (d *decoder) address(dst *Address) reader {
	return func(n *yaml.Node, at string) {
		if resolve(n).Kind == yaml.MappingNode {
			d.secret(&dst.Ref, "file", "command")(n, at)
			return
		}
		d.text(&dst.Plain, aWebAddress)(n, at)
	}
}

// addresses reads an address for each of some jobs.
func (d *decoder) addresses(dst *map[string]Address) reader {
	return func(n *yaml.Node, at string) {
		n = resolve(n)
		if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
			d.fault(n, "write JOB: {file: …}", "%s must be addresses by the name of a job, not %s", at, describe(n))
			return
		}
		found := map[string]Address{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			var name string
			var a Address
			key, value := n.Content[i], n.Content[i+1]
			d.text(&name, aName)(key, at)
			d.address(&a)(value, join(at, resolve(key).Value))
			if _, twice := found[name]; twice {
				d.fault(key, "keep one of them", "%s is given twice", join(at, name))
			}
			found[name] = a
			d.later = append(d.later, func(c Config) { d.checkJobName(c, name, key, at) })
		}
		*dst = found
	}
}

// checkJobName holds a name to the jobs of the file and the default ones.
func (d *decoder) checkJobName(c Config, name string, n *yaml.Node, at string) {
	var names []string
	for _, u := range usual {
		names = append(names, u.name)
	}
	for _, j := range c.Schedule.Jobs {
		names = append(names, j.Name)
	}
	if name != "" && !slices.Contains(names, name) {
		d.fault(n, suggest.Hint(name, names, "one of "+strings.Join(names, ", ")), "%s: there is no job %q", at, name)
	}
}

// aWebAddress accepts the URL of a page. What stands there is not repeated: it may hold a token.
func aWebAddress(_ *yaml.Node, text string) (wrong, hint string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Fragment != "":
		return "it is not the URL of a page", "write https://HOST/PATH, or {file: …} where it is a secret"
	case u.User != nil:
		return "credentials do not belong in a URL", "write the whole URL into a file and name it with {file: …}"
	}
	return "", ""
}

var weekdays = map[string]time.Weekday{
	"sunday": time.Sunday, "monday": time.Monday, "tuesday": time.Tuesday, "wednesday": time.Wednesday,
	"thursday": time.Thursday, "friday": time.Friday, "saturday": time.Saturday,
}

// digest reads "daily at 07:00", "weekly monday at 07:00", or none.
func (d *decoder) digest(dst *Digest) reader {
	return d.parsed(func(n *yaml.Node) (wrong, hint string) {
		v, ok := parseDigest(n.Value)
		if !ok {
			return fmt.Sprintf("%q is not a time", n.Value), "write daily at 08:00, weekly monday at 08:00, or none"
		}
		*dst = v
		return "", ""
	})
}

func parseDigest(text string) (Digest, bool) {
	if text == "none" {
		return Digest{Every: "none", Day: time.Monday}, true
	}
	words := strings.Fields(strings.ToLower(text))
	v := Digest{Day: time.Monday}
	if len(words) == 4 && words[0] == "weekly" {
		day, ok := weekdays[words[1]]
		if !ok {
			return v, false
		}
		v.Day, words = day, slices.Delete(words, 1, 2)
	}
	if len(words) != 3 || words[0] != "daily" && words[0] != "weekly" || words[1] != "at" {
		return v, false
	}
	at, err := time.Parse("15:04", words[2])
	v.Every, v.At = words[0], at.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))
	return v, err == nil
}

// String is the digest as the configuration has it.
func (g Digest) String() string {
	switch g.Every {
	case "daily":
		return "daily at " + renderClock(g.At)
	case "weekly":
		return "weekly " + strings.ToLower(g.Day.String()) + " at " + renderClock(g.At)
	}
	return "none"
}

// For is the address of a job: its own, or that of all.
func (p Ping) For(jobName string) Address {
	if a, ok := p.Jobs[jobName]; ok {
		return a
	}
	return p.URL
}

// Secrets says where the secrets are that telling needs.
func (n Notify) Secrets() (all []SecretRef) {
	if m := n.Mail; m != nil {
		all = append(all, m.Password)
	}
	if w := n.Webhook; w != nil {
		all = append(all, w.URL.Ref, w.Secret)
	}
	if p := n.Ping; p != nil {
		all = append(all, p.URL.Ref)
		for _, name := range slices.Sorted(maps.Keys(p.Jobs)) {
			all = append(all, p.Jobs[name].Ref)
		}
	}
	return all
}

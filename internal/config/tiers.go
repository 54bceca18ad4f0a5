package config

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// LongestLock is for how many days a tier can lock its objects at most.
const LongestLock = 3650

// LeastLock is for how many days a tier must lock its objects: locks are renewed once a day, and must outlast a day that fails.
const LeastLock = 3

// S3 says how the bucket of a tier is reached.
type S3 struct {
	Endpoint  string // http:// or https://HOST[:PORT]; "" is AWS
	Region    string
	PathStyle bool   // the bucket stands in the path, as everywhere but at AWS
	CA        string // file of certificates in PEM; "" are the system's
	AccessKey SecretRef
	SecretKey SecretRef
	Token     SecretRef // of temporary keys
	Classes   Classes
}

// Classes are the storage classes of new objects; "" is the bucket's own.
type Classes struct{ Packs, Directories, Indexes string }

// Lock says for how long objects cannot be removed. The zero value locks none.
type Lock struct {
	Mode string // governance or compliance
	Days int
}

// Limit bounds how much is sent to a tier at a time of day.
type Limit struct {
	From, To time.Duration // since midnight; To is after From, or the limit goes on past midnight
	Rate     int64         // bytes in a second
}

// RateAt returns what the first limit allows that holds at a time, in bytes in a second, and 0 when none does.
func RateAt(limits []Limit, at time.Time) int64 {
	h, m, s := at.Clock()
	day := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
	for _, l := range limits {
		within := l.From <= day && day < l.To
		if l.To <= l.From {
			within = l.From <= day || day < l.To
		}
		if within {
			return l.Rate
		}
	}
	return 0
}

// Retry says when a tier that failed is tried again: After, then twice as long each time, up to Most.
type Retry struct{ After, Most time.Duration }

// When a tier is tried again of which the configuration says nothing.
const (
	DefaultRetryAfter = time.Hour
	DefaultRetryMost  = 8 * time.Hour
)

func (d *decoder) retry(n *yaml.Node, at string) Retry {
	r := Retry{DefaultRetryAfter, DefaultRetryMost}
	d.mapping(n, at,
		optional("after", d.duration(&r.After)),
		optional("most", d.duration(&r.Most)),
	)
	r.Most = max(r.Most, r.After)
	return r
}

func (d *decoder) tier(n *yaml.Node, at string) Tier {
	t := Tier{Reserve: DefaultReserve, Retry: Retry{DefaultRetryAfter, DefaultRetryMost}}
	first := strings.HasSuffix(at, "[0]")
	if first {
		t.Keep = Keep{Rules: Rules{Age: DefaultKeep}}
	}
	found := d.mapping(n, at,
		required("name", d.text(&t.Name, aName, d.unique("tier name"))),
		required("url", d.url(&t.URL)),
		optional("passphrase", d.secret(&t.Passphrase, "file", "command")),
		field{"keep", !first, d.keep(&t.Keep)},
		optional("reserve", d.share(&t.Reserve)),
		optional("s3", func(n *yaml.Node, at string) { t.S3 = d.s3(n, at) }),
		optional("ssh_config", d.path(&t.SSHConfig)),
		optional("lock", func(n *yaml.Node, at string) { t.Lock = d.lock(n, at) }),
		optional("limit", list(d, &t.Limits, d.limit)),
		optional("retry", func(n *yaml.Node, at string) { t.Retry = d.retry(n, at) }),
	)
	if t.URL == "" {
		return t
	}
	if wrong, hint := d.unique("place")(found["url"], t.place()); wrong != "" {
		d.fault(found["url"], hint, "%s: %s", join(at, "url"), wrong)
	}
	d.suits(t, found, at)
	return t
}

// place names the vault of a tier among all.
func (t Tier) place() string {
	if t.S3 != nil && t.S3.Endpoint != "" {
		return t.URL + " at " + t.S3.Endpoint
	}
	return t.URL
}

// suits holds the keys that only some kinds of places have to the URL.
func (d *decoder) suits(t Tier, found map[string]*yaml.Node, at string) {
	scheme, _, _ := strings.Cut(t.URL, "://")
	for _, only := range []struct{ key, scheme, why string }{
		{"s3", "s3", "it says how a bucket is reached"},
		{"lock", "s3", "only a bucket can lock what it holds"},
		{"ssh_config", "sftp", "it is for ssh"},
	} {
		if n := found[only.key]; n != nil && scheme != only.scheme {
			d.fault(n, "remove it, or use a url of "+only.scheme+"://", "%s does not go with %s: %s", join(at, only.key), t.URL, only.why)
		}
	}
	if scheme == "s3" && found["s3"] == nil {
		d.fault(found["url"], "add s3: {endpoint: …, access_key: {file: …}, secret_key: {file: …}}", "%s is missing", join(at, "s3"))
	}
}

func (d *decoder) s3(n *yaml.Node, at string) *S3 {
	var s S3
	d.mapping(n, at,
		optional("endpoint", d.text(&s.Endpoint, anEndpoint)),
		optional("region", d.text(&s.Region, aName)),
		optional("path_style", d.flag(&s.PathStyle)),
		optional("ca", d.path(&s.CA)),
		required("access_key", d.secret(&s.AccessKey, "file", "command")),
		required("secret_key", d.secret(&s.SecretKey, "file", "command")),
		optional("session_token", d.secret(&s.Token, "file", "command")),
		optional("storage_class", func(n *yaml.Node, at string) {
			d.mapping(n, at,
				optional("packs", d.text(&s.Classes.Packs, aName)),
				optional("directories", d.text(&s.Classes.Directories, aName)),
				optional("indexes", d.text(&s.Classes.Indexes, aName)),
			)
		}),
	)
	s.Endpoint = strings.TrimSuffix(s.Endpoint, "/")
	return &s
}

// anEndpoint accepts the URL of a store.
func anEndpoint(_ *yaml.Node, text string) (wrong, hint string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return "it is not the URL of a store", "write https://HOST or https://HOST:PORT"
	case u.User != nil:
		return "credentials do not belong in a URL", "name where they are with access_key and secret_key"
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "a store has no path", "write the bucket and the prefix into the tier's url: s3://BUCKET/PREFIX"
	}
	return "", ""
}

func (d *decoder) lock(n *yaml.Node, at string) (l Lock) {
	d.mapping(n, at,
		required("mode", d.text(&l.Mode, oneOf("governance", "compliance"))),
		required("days", d.between(&l.Days, LeastLock, LongestLock, "")),
	)
	return l
}

func (d *decoder) limit(n *yaml.Node, at string) (l Limit) {
	d.mapping(n, at,
		required("from", d.clock(&l.From)),
		required("to", d.clock(&l.To)),
		required("rate", d.size(&l.Rate, LeastLimit, 1<<50)),
	)
	return l
}

// clock reads a time of day, as the time since midnight.
func (d *decoder) clock(dst *time.Duration) reader {
	return d.parsed(func(n *yaml.Node) (wrong, hint string) {
		at, err := time.Parse("15:04", n.Value)
		if n.Value == "24:00" {
			*dst = Day
			return "", ""
		}
		if err != nil {
			return fmt.Sprintf("%q is not a time of day", n.Value), `write it in quotes, as "08:00"`
		}
		*dst = at.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))
		return "", ""
	})
}

// url reads the place of a vault.
func (d *decoder) url(dst *string) reader {
	return func(n *yaml.Node, at string) {
		var given, canonical string
		d.text(&given, func(n *yaml.Node, text string) (wrong, hint string) {
			var err error
			if canonical, hint, err = d.tierURL(text); err != nil {
				return err.Error(), hint
			}
			return "", ""
		})(n, at)
		if given != "" {
			*dst = canonical
		}
	}
}

// urlForms are what a tier's place can be.
const urlForms = "write file:///PATH, s3://BUCKET/PREFIX or sftp://USER@HOST:PORT/PATH"

// tierURL checks where a vault is and returns it in its canonical form.
func (d *decoder) tierURL(text string) (canonical, hint string, err error) {
	if strings.HasPrefix(text, "/") {
		return "", "write file://" + text, errors.New("it is a path, not a URL")
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", urlForms, errors.New("it is not a URL")
	}
	if _, secret := u.User.Password(); secret || u.User != nil && u.Scheme != "sftp" {
		return "", "", errors.New("credentials do not belong in a URL")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", urlForms, errors.New("a place has neither ? nor #")
	}
	switch u.Scheme {
	case "file":
		return d.fileURL(u)
	case "s3":
		return s3URL(u)
	case "sftp":
		return sftpURL(u)
	}
	return "", urlForms, fmt.Errorf("scheme %q is not one this version can store in", u.Scheme)
}

func (d *decoder) fileURL(u *url.URL) (canonical, hint string, err error) {
	const form = "write file:///PATH"
	if u.Host != "" {
		return "", "a path begins with three slashes: file:///" + u.Host + u.Path, errors.New("a file URL has no host")
	}
	name := u.Path
	if u.Opaque != "" { // file:vault, relative to the configuration
		if name, err = url.PathUnescape(u.Opaque); err != nil {
			return "", form, errors.New("it is not a URL")
		}
	}
	if name == "" || strings.ContainsRune(name, 0) {
		return "", form, errors.New("it names no path")
	}
	return FileURL(d.abs(name)), "", nil
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func s3URL(u *url.URL) (canonical, hint string, err error) {
	if !bucketName.MatchString(u.Host) {
		return "", "write s3://BUCKET/PREFIX, and the store's address as s3: {endpoint: …}", errors.New("it names no bucket")
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" && path.Clean(prefix) != prefix {
		return "", "write s3://BUCKET/PREFIX", errors.New("its prefix has empty parts or dots")
	}
	return strings.TrimSuffix((&url.URL{Scheme: "s3", Host: u.Host, Path: "/" + prefix}).String(), "/"), "", nil
}

func sftpURL(u *url.URL) (canonical, hint string, err error) {
	const form = "write sftp://USER@HOST/PATH, or sftp://USER@HOST:PORT/PATH"
	name := path.Clean(u.Path)
	switch {
	case u.User.Username() == "" || u.Hostname() == "":
		return "", form, errors.New("it names no user and host")
	case strings.HasPrefix(u.User.Username(), "-") || strings.HasPrefix(u.Hostname(), "-") || strings.ContainsAny(u.User.Username()+u.Hostname(), " \t"):
		return "", form, errors.New("it is not the name of a user and a host")
	case !strings.HasPrefix(name, "/") || name == "/":
		return "", form, errors.New("it names no directory")
	}
	return (&url.URL{Scheme: "sftp", User: url.User(u.User.Username()), Host: u.Host, Path: name}).String(), "", nil
}

// FileURL is the URL of a vault in the directory path.
func FileURL(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

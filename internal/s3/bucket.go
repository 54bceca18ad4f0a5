// Package s3 keeps the blobs of a vault in a bucket of Ceph RGW, MinIO, AWS or whatever else speaks S3, in the layout of the
// stock kopia command: one object per blob, named by the prefix and the blob.
//
// It stands in the place of kopia's own S3 storage for what that lacks: credentials that are read anew when they expire, addressing
// by path everywhere, one kind of retry that knows what a retry cannot mend, and a look at what the store says it received.
package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// Keys are what a bucket is opened with. Token is empty unless the keys are temporary ones.
type Keys struct{ Access, Secret, Token secret.Secret }

// Options say which bucket, and how it is reached.
type Options struct {
	Bucket string
	Prefix string // of the names of all objects: empty, or it ends with a slash
	// Endpoint is http:// or https://HOST[:PORT]; "" is AWS.
	Endpoint string
	Region   string // "" is asked of AWS, and us-east-1 elsewhere, where it matters to nobody
	// PathStyle puts the bucket into the path and not into the host name, as all but AWS do by default.
	PathStyle bool
	CA        string // file of certificates in PEM that the endpoint's must lead to; "" are those of the system
	// Keys returns the keys as they are now. It is asked again when the store does not accept those it has.
	Keys func(context.Context) (Keys, error)
	// Class names the storage class of new objects by the first letters of a blob; what is not named has the bucket's.
	Class map[blob.ID]string
	// At, unless zero, shows the bucket as it was then, for reading alone: what was deleted or replaced since is there still if
	// the bucket keeps versions.
	At time.Time
}

// Bucket is the storage of one vault. It is safe for concurrent use.
type Bucket struct {
	blob.DefaultProviderImplementation
	o     Options
	core  minio.Core
	creds *credentials.Credentials
	past  map[blob.ID]Version // what there was at o.At
	cells cells

	renewing sync.Mutex
}

// Open looks at the bucket, which must exist.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	b, err := newBucket(o)
	if err != nil {
		return nil, err
	}
	err = b.try(ctx, "look for bucket "+o.Bucket, 0, func(ctx context.Context) error {
		there, err := b.core.BucketExists(ctx, o.Bucket)
		if err == nil && !there {
			err = minio.ErrorResponse{Code: minio.NoSuchBucket, StatusCode: http.StatusNotFound, Message: "there is no bucket " + o.Bucket}
		}
		return err
	})
	if err == nil && !o.At.IsZero() {
		b.past, err = b.presentAt(ctx, o.At)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func newBucket(o Options) (*Bucket, error) {
	if o.Endpoint == "" {
		o.Endpoint = "https://s3.amazonaws.com"
	} else if o.Region == "" {
		o.Region = "us-east-1"
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" {
		return nil, problem.New(problem.Usage, "write it as https://HOST or https://HOST:PORT", "endpoint %q of S3 is not a URL", o.Endpoint)
	}
	transport, err := newTransport(o.CA)
	if err != nil {
		return nil, err
	}
	b := &Bucket{o: o}
	b.creds = credentials.New(&keyring{read: o.Keys})
	lookup := minio.BucketLookupAuto
	if o.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: b.creds, Secure: u.Scheme == "https", Region: o.Region, BucketLookup: lookup, Transport: transport,
		MaxRetries: 1, // try does it
	})
	if err != nil {
		return nil, problem.New(problem.Usage, "look at the tier's s3: in holdfast.yml", "reach S3 at %s: %w", o.Endpoint, err)
	}
	b.core = minio.Core{Client: client}
	return b, nil
}

const (
	answerTime = 60 * time.Second // that a store has to begin its answer
	idleConns  = 64
)

func newTransport(ca string) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = Dial
	t.ResponseHeaderTimeout = answerTime
	t.MaxIdleConnsPerHost = idleConns
	t.DisableCompression = true
	if ca != "" {
		pem, err := os.ReadFile(ca)
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(pem) {
			return nil, problem.New(problem.Usage, "name a file with certificates in PEM as s3.ca", "file %s gives no certificate (%v)", ca, err)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return t, nil
}

// keyring hands out the keys as their owner keeps them.
type keyring struct {
	read func(context.Context) (Keys, error)
}

// keyTime is how long a command may take that hands out keys.
const keyTime = 30 * time.Second

func (k *keyring) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), keyTime)
	defer cancel()
	keys, err := k.read(ctx)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("read the keys of S3: %w", err)
	}
	return credentials.Value{
		AccessKeyID: keys.Access.Reveal(), SecretAccessKey: keys.Secret.Reveal(), SessionToken: keys.Token.Reveal(),
		SignerType: credentials.SignatureV4,
	}, nil
}

func (k *keyring) Retrieve() (credentials.Value, error) { return k.RetrieveWithCredContext(nil) }

// IsExpired is false: keys are read again once the store refuses them.
func (k *keyring) IsExpired() bool { return false }

// current are the keys that requests are signed with.
func (b *Bucket) current() credentials.Value {
	v, err := b.creds.GetWithContext(nil)
	if err != nil {
		return credentials.Value{}
	}
	return v
}

// renew reads the keys again, unless another request did since they were used, and reports whether they are others than the used.
func (b *Bucket) renew(used credentials.Value) bool {
	b.renewing.Lock()
	defer b.renewing.Unlock()
	if b.current() == used {
		b.creds.Expire()
	}
	now := b.current()
	return now != used && now != credentials.Value{}
}

func (b *Bucket) name(id blob.ID) string { return b.o.Prefix + string(id) }

func (b *Bucket) id(name string) blob.ID { return blob.ID(strings.TrimPrefix(name, b.o.Prefix)) }

func (b *Bucket) class(id blob.ID) string {
	for prefix, class := range b.o.Class {
		if strings.HasPrefix(string(id), string(prefix)) {
			return class
		}
	}
	return ""
}

// String is the bucket as an operator writes it.
func (b *Bucket) String() string {
	return "s3://" + b.o.Bucket + "/" + strings.TrimSuffix(b.o.Prefix, "/")
}

// DisplayName is String, for kopia.
func (b *Bucket) DisplayName() string { return b.String() }

// ConnectionInfo tells nothing: what opens a bucket is never written down.
func (b *Bucket) ConnectionInfo() blob.ConnectionInfo { return blob.ConnectionInfo{} }

// IsReadOnly reports whether the bucket is shown as it was.
func (b *Bucket) IsReadOnly() bool { return b.past != nil }

var errPast = errors.New("what was cannot be changed")

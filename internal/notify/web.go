package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/secret"
)

// webTimeout bounds one request.
const webTimeout = 20 * time.Second

// webhook posts messages as JSON.
type webhook struct {
	t   *Teller
	cfg config.Webhook
}

func (w *webhook) name() string { return "webhook" }

func (w *webhook) send(ctx context.Context, m message) error {
	address, err := w.t.address(ctx, w.cfg.URL, "URL of the webhook")
	if err != nil {
		return err
	}
	key, err := w.t.resolve(ctx, w.cfg.Secret, "secret of the webhook")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, webTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(m.JSON))
	if err != nil {
		return errors.New("the URL of the webhook is not one: check notify.webhook.url")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "holdfast")
	r.Header.Set("X-Holdfast-Delivery", m.ID)
	if !key.Empty() {
		r.Header.Set("X-Holdfast-Signature", Sign(key, w.t.now(), m.JSON))
	}
	return w.t.request(r, w.cfg.CA)
}

// Sign is the header that proves where a body comes from: t=SECONDS,v1=HEX, where HEX is the HMAC-SHA256 of "SECONDS.BODY" and
// SECONDS the Unix time at which it was sent.
func Sign(key secret.Secret, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// address fetches a URL. One that is secret is never told.
func (t *Teller) address(ctx context.Context, a config.Address, what string) (string, error) {
	if a.Plain != "" {
		return a.Plain, nil
	}
	s, err := t.resolve(ctx, a.Ref, what)
	return s.Reveal(), err
}

// request does one request; any answer but one of 200 to 299 is an error.
func (t *Teller) request(r *http.Request, ca string) error {
	secure, err := tlsConfig(r.URL.Hostname(), ca)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: t.dial, TLSClientConfig: secure, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // it names the URL, which may hold a token
			err = u.Err
		}
		err = fmt.Errorf("reach %s: %w", r.URL.Hostname(), err)
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return err
		}
		return doubtful{err} // what was posted may have been read
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // what it says is of no use; reading it lets it end well
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("%s answers %s", r.URL.Hostname(), answer.Status)
	}
	return nil
}

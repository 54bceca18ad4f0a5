// Package openstack makes and removes images, volumes, snapshots and backups through the APIs of a cloud's Keystone,
// Glance and Cinder, as their command lines do, without the seconds that those take to start.
package openstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"holdfast/internal/secret"
)

// Access is who asks, and where.
type Access struct {
	Identity string // Keystone's URL, with its version
	User     string // in the default domain, as is the project
	Password secret.Secret
	Project  string
}

// Cloud is a cloud, asked by somebody who logged in. A login is good for an hour.
type Cloud struct {
	token           string
	project         string // its id
	images, volumes string // where Glance and Cinder answer
}

// Refused is the answer of a service that did not do what it was asked to.
type Refused struct {
	Method, URL string
	Code        int
	Message     string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("%s %s: %d: %s", r.Method, r.URL, r.Code, r.Message)
}

// Code is the status of the answer behind err, 0 if there was none.
func Code(err error) int {
	if r := (*Refused)(nil); errors.As(err, &r) {
		return r.Code
	}
	return 0
}

// Login asks Keystone for a token and for where the services are.
func Login(ctx context.Context, a Access) (*Cloud, error) {
	domain := map[string]any{"id": "default"}
	body := map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
			"user": map[string]any{"name": a.User, "domain": domain, "password": a.Password.Reveal()},
		}},
		"scope": map[string]any{"project": map[string]any{"name": a.Project, "domain": domain}},
	}}
	var answer struct{ Token token }
	head, err := (&Cloud{}).call(ctx, "POST", a.Identity+"/auth/tokens", body, &answer)
	if err != nil {
		return nil, fmt.Errorf("log in as %s: %w", a.User, err)
	}
	return &Cloud{
		token: head.Get("X-Subject-Token"), project: answer.Token.Project.ID,
		images: answer.Token.public("image") + "/v2", volumes: answer.Token.public("volumev3"),
	}, nil
}

// token is what Keystone tells of a login.
type token struct {
	Project struct{ ID string }
	Catalog []struct {
		Type      string
		Endpoints []struct{ Interface, URL string }
	}
}

// public is the URL of a service for everybody.
func (t token) public(service string) string {
	for _, s := range t.Catalog {
		for _, e := range s.Endpoints {
			if s.Type == service && e.Interface == "public" {
				return e.URL
			}
		}
	}
	return ""
}

// Ready reports why the cloud cannot make volumes yet.
func (c *Cloud) Ready(ctx context.Context) error {
	if _, err := c.List(ctx, Image); err != nil {
		return err
	}
	var answer struct{ Pools []struct{ Name string } }
	if _, err := c.call(ctx, "GET", c.volumes+"/scheduler-stats/get_pools", nil, &answer); err != nil {
		return err
	}
	if len(answer.Pools) == 0 {
		return errors.New("the scheduler knows of no pool")
	}
	return nil
}

// microversion is the newest of the volume API that a call here needs: images are managed since 3.8, and volumes are
// made of backups since 3.47.
const microversion = "volume 3.47"

// call sends body as JSON, or as it is if it can be read, and decodes the answer into into, unless that is nil.
func (c *Cloud) call(ctx context.Context, method, url string, body, into any) (http.Header, error) {
	req, err := request(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Auth-Token", c.token)
	req.Header.Set("OpenStack-API-Version", microversion)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: read answer: %w", method, url, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, &Refused{method, url, resp.StatusCode, strings.TrimSpace(string(text))}
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			return nil, fmt.Errorf("%s %s: decode answer: %w", method, url, err)
		}
	}
	return resp.Header, nil
}

func request(ctx context.Context, method, url string, body any) (*http.Request, error) {
	kind, in := "application/octet-stream", io.Reader(nil)
	switch b := body.(type) {
	case nil:
	case io.Reader:
		in = b
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		kind, in = "application/json", bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	return req, nil
}

// patience bounds how long a service may take to do what it said it would do.
const patience = 2 * time.Minute

// await asks every 50 ms until done.
func await(ctx context.Context, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(ctx); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

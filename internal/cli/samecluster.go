package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/config"
	"holdfast/internal/durable"
	"holdfast/internal/source"
)

// A bucket may lie on the very Ceph cluster that is backed up. Who serves it is asked of the clusters now and then, and remembered,
// so that status can tell without them.

// servedBy is what was found out of a tier's endpoint.
type servedBy struct {
	Endpoint string    `json:"endpoint"`
	Cluster  string    `json:"cluster"` // of holdfast.yml that serves it, "" for none of them
	At       time.Time `json:"at"`
}

const (
	servedFile   = "endpoints.json" // in the state directory
	servedAnew   = 24 * time.Hour   // after which backups find out anew
	servedWithin = 20 * time.Second // is time enough to find it out
)

// served reads what is remembered, by tier. What cannot be read is not remembered.
func served(state string) map[string]servedBy {
	all := map[string]servedBy{}
	if data, err := os.ReadFile(filepath.Join(state, servedFile)); err == nil && json.Unmarshal(data, &all) != nil {
		return map[string]servedBy{}
	}
	return all
}

// clusterOf names the cluster of the cloud that was last found to serve a tier's bucket, "" when none is known to.
func clusterOf(cfg *config.Config, t config.Tier) string {
	if t.S3 == nil || t.S3.Endpoint == "" {
		return ""
	}
	s := served(cfg.State)[t.Name]
	known := slices.ContainsFunc(cfg.Ceph, func(c config.Ceph) bool { return c.Name == s.Cluster })
	if s.Endpoint != t.S3.Endpoint || !known {
		return ""
	}
	return s.Cluster
}

// findServed finds out which clusters serve the buckets of the tiers where what is remembered is that old, and remembers it. The error
// says what could not be asked: then what is remembered stays.
func findServed(ctx context.Context, cfg *config.Config, described func() (*cloud, error), now time.Time, older time.Duration) error {
	all := served(cfg.State)
	var due []config.Tier
	for _, t := range cfg.Tiers {
		if s := all[t.Name]; t.S3 != nil && t.S3.Endpoint != "" && (s.Endpoint != t.S3.Endpoint || now.Sub(s.At).Abs() >= older) {
			due = append(due, t)
		}
	}
	if len(due) == 0 || len(cfg.Ceph) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, servedWithin)
	defer cancel()
	gateways := map[string][]cephcmd.Gateway{}
	for _, k := range cfg.Ceph {
		c, err := cluster(k, described)
		if err == nil {
			gateways[k.Name], err = c.Gateways(ctx)
		}
		if err != nil {
			return err
		}
	}
	for _, t := range due {
		name, err := servingCluster(ctx, t.S3.Endpoint, gateways)
		if err != nil {
			return err
		}
		all[t.Name] = servedBy{t.S3.Endpoint, name, now.UTC()}
	}
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(cfg.State, servedFile), append(data, '\n'), 0o600)
}

// findServedBeside is findServed beside something else, at whose end it is given up. What it cannot find out doctor tells.
func findServedBeside(ctx context.Context, s setup, now time.Time) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = findServed(ctx, s.cfg, s.described, now, servedAnew) // doctor tells of it
	}()
	return func() { cancel(); <-done }
}

// servingCluster names the cluster with a gateway on the host that an endpoint is on, "" for none.
func servingCluster(ctx context.Context, endpoint string, gateways map[string][]cephcmd.Gateway) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return "", fmt.Errorf("look up endpoint %s: %w", endpoint, err)
	}
	for name, all := range gateways {
		for _, g := range all {
			if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return serves(g, a.Unmap(), portOf(u)) }) {
				return name, nil
			}
		}
	}
	return "", nil
}

// serves reports whether a gateway's host has the address. Whatever listens there stands before the gateway or beside it; but an
// address that every host has is the gateway's only at one of its ports.
func serves(g cephcmd.Gateway, at netip.Addr, port uint16) bool {
	return g.Addr == at && (!at.IsLoopback() || slices.Contains(g.Ports, port))
}

func portOf(u *url.URL) uint16 {
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return uint16(n)
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// checkServed warns of a bucket on the cluster that it is to be a copy of.
func checkServed(ctx context.Context, cfg *config.Config, t config.Tier, described func() (*cloud, error), now time.Time) []source.Check {
	if t.S3 == nil || len(cfg.Ceph) == 0 || cfg.Promises.Media[t.Name] != "" {
		return nil
	}
	const name = "medium"
	if err := findServed(ctx, cfg, described, now, 0); err != nil {
		return []source.Check{{
			Name: name, Status: source.Warn, Detail: "nobody can tell whether the bucket lies on a cluster that is backed up: " + oneLine(err.Error()),
			Mend: "mend what ceph says below; or say in promises: {media: {" + t.Name + ": NAME}} on which storage it lies",
		}}
	}
	if own := clusterOf(cfg, t); own != "" {
		return []source.Check{{
			Name: name, Status: source.Warn, Detail: fmt.Sprintf("the bucket lies on Ceph cluster %s, which is backed up: what takes the cluster takes it too, and it counts as no copy", own),
			Mend: "add a tier on storage of its own; where the address is that of another store, name it: promises: {media: {" + t.Name + ": NAME}}",
		}}
	}
	return []source.Check{passed(name, "no gateway of %s is at %s; behind a virtual address nobody can tell: promises: {media: …} says it", cfg.Ceph[0].Name, t.S3.Endpoint)}
}

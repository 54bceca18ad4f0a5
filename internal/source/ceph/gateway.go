package ceph

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"holdfast/internal/cephcmd"
	"holdfast/internal/host"
)

// rootPool holds the configuration of the object gateways.
const rootPool = ".rgw.root"

// gateway asks for realms, zone groups, zones and users of the object gateway, if the cluster has one.
func (c *capture) gateway(ctx context.Context) error {
	e := Entry{File: "rgw", Command: "radosgw-admin", For: "the object gateway's realms, zone groups, zones and users"}
	if !c.hasGateway() {
		e.State, e.Reason = Absent, "there is no pool "+rootPool
		c.record(e)
		return nil
	}
	// radosgw-admin aborts where it may not read, and leaves a report of its crash to the cluster.
	if a, err := c.list(ctx, place{pool: rootPool}); err != nil || a.Err != 0 {
		return errors.Join(err, c.keepAnswer(e, a, gatewayRoot, inJSON))
	}
	for _, kind := range []struct{ word, list, use, back string }{
		{"realm", "realms", "the gateway's realms", "radosgw-admin realm set --rgw-realm NAME --infile FILE"},
		{"zonegroup", "zonegroups", "zone groups with their placement targets", "radosgw-admin zonegroup set --rgw-zonegroup NAME --infile FILE"},
		{"zone", "zones", "zones with their pools, placement and storage classes; secret", "radosgw-admin zone set --rgw-zone NAME --infile FILE"},
	} {
		names, err := c.gatewayList(ctx, kind.word, kind.list, kind.use)
		if err != nil {
			return err
		}
		for _, name := range names {
			e := Entry{File: "rgw/" + kind.list + "/" + url.PathEscape(name) + ".json", For: kind.use, Back: kind.back}
			if err := c.gatewayFile(ctx, e, kind.word, "get", "--rgw-"+kind.word, name); err != nil {
				return err
			}
			if kind.word != "realm" {
				continue
			}
			e = Entry{File: "rgw/periods/" + url.PathEscape(name) + ".json", For: "the realm's current period", Back: "radosgw-admin period update --commit"}
			if err := c.gatewayFile(ctx, e, "period", "get", "--rgw-realm", name); err != nil {
				return err
			}
		}
	}
	return c.gatewayUsers(ctx)
}

// gatewayList writes a list of names and returns them.
func (c *capture) gatewayList(ctx context.Context, word, list, use string) ([]string, error) {
	e := Entry{File: "rgw/" + list + ".json", For: use + ", by name"}
	if err := c.gatewayFile(ctx, e, word, "list"); err != nil {
		return nil, err
	}
	found := map[string]json.RawMessage{}
	var names []string
	_ = json.Unmarshal(c.bodies[e.File], &found)
	_ = json.Unmarshal(found[list], &names)
	return names, nil
}

// gatewayFile writes what radosgw-admin prints.
func (c *capture) gatewayFile(ctx context.Context, e Entry, args ...string) error {
	e.Command = "radosgw-admin " + strings.Join(args, " ")
	a, err := c.program(ctx, "radosgw-admin", args...)
	if err != nil {
		return err
	}
	return c.keepAnswer(e, a, gatewayRoot, inJSON)
}

// program takes what a command of Ceph prints as an answer. Exit statuses of these are errno numbers.
func (c *capture) program(ctx context.Context, name string, args ...string) (cephcmd.Answer, error) {
	out, err := c.cluster.Output(ctx, name, args...)
	var exit *host.ExitError
	switch {
	case err == nil:
		return cephcmd.Answer{Body: out}, nil
	case !errors.As(err, &exit):
		return cephcmd.Answer{}, err
	case exit.Code == programMissing:
		return cephcmd.Answer{Err: syscall.ENOSYS, Said: name + " is not installed on " + c.cluster.On.String()}, nil
	}
	return cephcmd.Answer{Err: syscall.Errno(exit.Code), Said: exit.Error()}, nil
}

// programMissing is a shell's exit status for a command that is not there.
const programMissing = 127

// place is where a zone keeps objects: a pool, and a namespace in it.
type place struct{ pool, namespace string }

// list lists the objects in a place, one name in a line.
func (c *capture) list(ctx context.Context, p place) (cephcmd.Answer, error) {
	return c.program(ctx, "rados", "--pool", p.pool, "--namespace", p.namespace, "ls")
}

func (c *capture) hasGateway() bool {
	return slices.ContainsFunc(c.osds.Pools, func(p pool) bool { return p.Name == rootPool })
}

// parsePlace reads a zone's pool, written as pool or pool:namespace.
func parsePlace(s string) place {
	p, namespace, _ := strings.Cut(s, ":")
	return place{p, namespace}
}

// gatewayUsers writes the names of the users of each zone. They are read as the names of objects, which takes less of the
// client's capabilities than the gateway's own command.
func (c *capture) gatewayUsers(ctx context.Context) error {
	for _, z := range c.zones() {
		p := parsePlace(z.Users)
		if p.pool == "" {
			continue
		}
		a, err := c.list(ctx, p)
		if err != nil {
			return err
		}
		a.Body = users(a.Body)
		e := Entry{
			File: "rgw/users/" + url.PathEscape(z.Name) + ".json", Command: "radosgw-admin metadata list user --rgw-zone " + quoted(z.Name),
			For: "the gateway's users in zone " + z.Name,
		}
		if err := c.keepAnswer(e, a, p.mayList(), inJSON); err != nil {
			return err
		}
	}
	return nil
}

// zone is what is needed of a zone's description.
type zone struct {
	Name  string `json:"name"`
	Users string `json:"user_uid_pool"`
}

func (c *capture) zones() (zones []zone) {
	for _, e := range c.contents.Files {
		var z zone
		if strings.HasPrefix(e.File, "rgw/zones/") && e.State == Present && json.Unmarshal(c.bodies[e.File], &z) == nil {
			zones = append(zones, z)
		}
	}
	return zones
}

// users leaves the users among the names of objects, a line each; the others list a user's buckets.
func users(names []byte) []byte {
	users := []string{}
	for line := range strings.Lines(string(names)) {
		name := strings.TrimSuffix(line, "\n")
		if !strings.HasSuffix(name, ".buckets") {
			users = append(users, name)
		}
	}
	slices.Sort(users)
	return readable(users)
}

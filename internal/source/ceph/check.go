package ceph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/cephcmd"
	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/source"
)

var _ source.Checker = (*Source)(nil)

// Check implements source.Checker: whether each cluster answers, its client may ask what is asked, and its tools are there.
func (s *Source) Check(ctx context.Context) []source.Check {
	found := make([][]source.Check, len(s.Clusters))
	var wg sync.WaitGroup
	for n, c := range s.Clusters {
		wg.Go(func() { found[n] = check(ctx, c) })
	}
	wg.Wait()
	return slices.Concat(found...)
}

// noSuch is a name that nothing has: to ask for it shows whether asking is allowed, and fetches no secret.
const noSuch = "holdfast.doctor.asks"

// trial is a question that takes a capability.
type trial struct {
	question cephcmd.Question
	need     capability
	what     string
}

var trials = []trial{
	{asJSON("osd dump"), capability{"mon", "allow r"}, "the cluster's maps"},
	{keyList.ask, keyList.need, "the names of the config-keys"},
	{cephcmd.Mon("config-key get", "key", noSuch), mayGetKeys, "the config-keys"},
	{cephcmd.Mon("auth export", "entity", "client."+noSuch), capability{"mon", `allow command "auth export"`}, "the keys of clients and daemons"},
	{mgrJSON("balancer status"), manager, "what the managers know"},
}

func check(ctx context.Context, c Cluster) []source.Check {
	name := "cluster " + c.Name
	var questions []cephcmd.Question
	for _, t := range trials {
		questions = append(questions, t.question)
	}
	for _, pool := range c.Pools {
		questions = append(questions, cephcmd.Question{Write: pool})
	}
	answers, err := c.Ask(ctx, questions...)
	if cephcmd.IsDenied(err) {
		return []source.Check{capabilities(c, name, []string{"connect: " + err.Error()}, neededAnyway(c))}
	}
	if err != nil {
		return []source.Check{{Name: name, Status: source.Fail, Detail: err.Error(), Mend: problem.HintOf(err)}}
	}
	k := &capture{cluster: c}
	var lacking []string
	for n, t := range trials {
		if answers[n].Denied() {
			lacking = append(lacking, "see "+t.what)
		}
	}
	for n, pool := range c.Pools {
		if answers[len(trials)+n].Denied() {
			lacking = append(lacking, "snapshot and restore images of pool "+pool)
		}
	}
	if err := json.Unmarshal(answers[0].Body, &k.osds); err != nil {
		k.osds = osdMap{}
	}
	pools, needed, err := k.tryPools(ctx)
	if err != nil {
		return []source.Check{{Name: name, Status: source.Fail, Detail: err.Error(), Mend: problem.HintOf(err)}}
	}
	lacking = append(lacking, pools...)
	checks := []source.Check{{Name: name, Status: source.OK, Detail: fmt.Sprintf("answers on %s, fsid %s", c.On, k.osds.FSID)}}
	return append(checks, capabilities(c, name, lacking, needed), k.tools(ctx, name))
}

// capabilities tells what the client may not do, and how it is given all that it needs.
func capabilities(c Cluster, name string, lacking []string, needed []capability) source.Check {
	client := "client." + c.ID
	if len(lacking) == 0 {
		return source.Check{Name: name + " capabilities", Status: source.OK, Detail: client + " may see all that is captured, and snapshot what is to be"}
	}
	return source.Check{
		Name: name + " capabilities", Status: source.Fail, Detail: client + " may not " + strings.Join(lacking, ", "),
		Mend: "as the cluster's administrator, with what else " + client + " is to keep, for this replaces all: " + grant(c.ID, needed),
	}
}

// neededAnyway are the capabilities that a client needs whatever else the cluster has.
func neededAnyway(c Cluster) []capability {
	needed := slices.Clone(everyone)
	for _, pool := range c.Pools {
		needed = append(needed, backsUp(pool))
	}
	return needed
}

// tryPools finds the pools that the client may not see, and all capabilities that it needs.
func (c *capture) tryPools(ctx context.Context) (lacking []string, needed []capability, err error) {
	needed = neededAnyway(c.cluster)
	for _, p := range c.osds.of("rbd") {
		if !slices.Contains(c.cluster.Pools, p.Name) {
			needed = append(needed, looksAt(p.Name))
		}
		a, err := c.program(ctx, "rbd", "ls", "--pool", p.Name)
		if err != nil {
			return nil, nil, err
		}
		if a.Denied() {
			lacking = append(lacking, "see pool "+p.Name)
		}
	}
	places := c.gatewayPlaces(ctx)
	for _, p := range places {
		needed = append(needed, p.mayList())
		a, err := c.list(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		if a.Denied() {
			lacking = append(lacking, "see pool "+p.pool+" of the object gateway")
		}
	}
	return lacking, needed, nil
}

// gatewayPlaces are where the gateway keeps its configuration and its users. Without the right to see the former, where Ceph
// puts users by default is taken for the latter.
func (c *capture) gatewayPlaces(ctx context.Context) []place {
	if !c.hasGateway() {
		return nil
	}
	root := place{pool: rootPool}
	users := place{"default.rgw.meta", "users.uid"}
	if a, err := c.list(ctx, root); err != nil || a.Err != 0 {
		return []place{root, users}
	}
	var zones struct {
		Zones []string `json:"zones"`
	}
	places := []place{root}
	a, err := c.program(ctx, "radosgw-admin", "zone", "list")
	if err != nil || json.Unmarshal(a.Body, &zones) != nil {
		return append(places, users)
	}
	for _, name := range zones.Zones {
		var z zone
		a, err := c.program(ctx, "radosgw-admin", "zone", "get", "--rgw-zone", name)
		if err == nil && json.Unmarshal(a.Body, &z) == nil && z.Users != "" {
			places = append(places, parsePlace(z.Users))
		}
	}
	return places
}

// tools looks for the programs that a capture runs beside ceph and rbd.
func (k *capture) tools(ctx context.Context, name string) source.Check {
	c := k.cluster
	check := source.Check{Name: name + " tools", Status: source.OK}
	wanted := []string{"crushtool"}
	if k.hasGateway() {
		wanted = append(wanted, "radosgw-admin")
	}
	check.Detail = strings.Join(wanted, ", ")
	var missing []string
	for _, tool := range wanted {
		err := host.Run(ctx, c.On, host.Cmd{Args: []string{"sh", "-c", `command -v "$1" >/dev/null`, "find", tool}, Name: "sh"})
		var exit *host.ExitError
		if errors.As(err, &exit) {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		check.Status = source.Warn
		check.Detail = "not installed on " + c.On.String() + ": " + strings.Join(missing, ", ")
		check.Mend = "install ceph-base for crushtool and radosgw for radosgw-admin, or name a container that has them; without crushtool the CRUSH map is captured without its text"
	}
	return check
}

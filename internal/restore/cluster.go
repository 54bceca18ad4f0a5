package restore

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"holdfast/internal/control"
	"holdfast/internal/point"
	"holdfast/internal/problem"
	"holdfast/internal/source/mariadb"
)

// ClusterOptions say what is restored, and how its nodes are reached.
type ClusterOptions struct {
	Shard   int
	Nodes   []ClusterNode // of today's inventory; the first one is restored, the others join it
	Control control.Control
	Login   mariadb.Login // asks the servers how they are
	OldTo   string        // where the old datadirs go; "" is beside the new ones
	Lineage Lineage       // which cluster came from which
}

// Cluster brings a whole Galera cluster back from the physical copy of a shard.
type Cluster struct {
	r         *Restorer
	o         ClusterOptions
	plan      Plan
	component point.Component
	places    []place
	size      int64
	moved     int // how many nodes' datadirs may have been moved aside
	ahead     int // the node that the old cluster is to be started from, which is stopped last; -1 when none was Synced
	stopped   bool
}

// Cluster plans the restore of a shard onto its nodes. It only looks.
func (r *Restorer) Cluster(ctx context.Context, p point.Point, o ClusterOptions) (*Cluster, error) {
	c, err := physical(p, o.Shard)
	if err != nil {
		return nil, err
	}
	if len(o.Nodes) == 0 {
		return nil, problem.New(problem.Usage, "check the group mariadb in the inventory", "shard %d has no nodes", o.Shard)
	}
	if o.OldTo != "" && !path.IsAbs(o.OldTo) {
		return nil, problem.New(problem.Usage, "write it from the root on, as it is on the nodes", "--old-to %s is no absolute path", o.OldTo)
	}
	k := &Cluster{r: r, o: o, component: c, plan: Plan{Title: "restore cluster", Point: p.ID}}
	if k.size, err = r.componentSize(ctx, p.ID, c); err != nil {
		return nil, err
	}
	if err := k.survey(ctx); err != nil {
		return nil, err
	}
	k.checkVersion()
	k.checkLive(ctx)
	k.describe()
	return k, nil
}

// survey looks at the machines of all nodes at once. All must answer: a node that is left out would come back later
// with the old data.
func (k *Cluster) survey(ctx context.Context) error {
	k.places = make([]place, len(k.o.Nodes))
	err := k.each(func(i int) (err error) {
		k.places[i], err = survey(ctx, k.o.Nodes[i], k.plan.Point, k.o.OldTo)
		return err
	})
	if err != nil {
		return err
	}
	for i := range k.places {
		k.checkPlace(k.o.Nodes[i].Name, k.places[i])
	}
	return nil
}

// checkPlace looks at whether a node has room for the new datadir and for the old one.
func (k *Cluster) checkPlace(node string, p place) {
	k.plan.needs(node+":"+p.datadir, k.size+prepareSpare, p.free)
	if p.oldUse > 0 {
		k.plan.needs(node+":"+path.Dir(p.aside), p.oldUse, p.oldFree)
	}
	if p.mount {
		k.plan.refuse("", "let the server's datadir be a directory inside the mount", "the datadir of %s, %s, is a mount point and cannot be moved aside", node, p.datadir)
	}
	if strings.HasPrefix(p.aside, p.datadir+"/") {
		k.plan.refuse("", "give a directory elsewhere", "--old-to %s lies in the datadir of %s", k.o.OldTo, node)
	}
	if p.kept != "" {
		k.plan.Notes = append(k.plan.Notes, "an earlier restore of this point left the data from before it on "+node+" in "+p.kept)
	}
	if p.left != "" {
		k.plan.Notes = append(k.plan.Notes, "a restore of another point that did not end left "+p.left+" on "+node+", which takes room and may be removed")
	}
}

// checkVersion compares the tool that would prepare the copy with the server that wrote it.
func (k *Cluster) checkVersion() {
	want, have := text(k.component.Identity, "server_version"), k.places[0].backup
	if !Fits(want, have) {
		k.plan.refuse(AcceptVersion, "deploy the version of the point first: server "+want, "the copy is of server %s and mariadb-backup on %s is %s",
			want, k.o.Nodes[0].Name, or(have, "absent"))
	}
}

// answer is what a node says of itself.
type answer struct {
	mariadb.Status
	err  error
	runs bool // a server, although none answered
}

// ask asks all nodes at once.
func (k *Cluster) ask(ctx context.Context) []answer {
	all := make([]answer, len(k.o.Nodes))
	_ = k.each(func(i int) error { // the errors are among the answers
		a := &all[i]
		a.Status, a.err = k.status(ctx, k.o.Nodes[i])
		a.runs = a.err != nil && k.runs(ctx, k.o.Nodes[i])
		return nil
	})
	return all
}

// checkLive looks for those who still write, and compares the running cluster, or what is left of it, with the copy.
func (k *Cluster) checkLive(ctx context.Context) {
	answered := false
	all := k.ask(ctx)
	k.ahead = aheadOf(all)
	for i, a := range all {
		n := k.o.Nodes[i]
		if a.err != nil {
			k.checkIdentity(n.Name, k.places[i].uuid)
			if a.runs {
				answered = true
				k.plan.refuse(AcceptWriters, "correct the login in holdfast.yml, or stop the server", "the server on %s runs and cannot be asked who is connected: %v", n.Name, a.err)
			}
			continue
		}
		answered = true
		k.checkIdentity(n.Name, a.ClusterUUID)
		k.checkWriters(a.Status)
	}
	if !answered {
		k.plan.Notes = append(k.plan.Notes, "no server answers, so nobody writes")
	}
}

// noCluster is what grastate.dat holds before a node has joined any cluster.
const noCluster = "00000000-0000-0000-0000-000000000000"

func (k *Cluster) checkIdentity(node, uuid string) {
	want := text(k.component.Identity, "cluster_uuid")
	if uuid == "" || uuid == noCluster || want == "" || k.o.Lineage.Same(uuid, want) {
		return
	}
	k.plan.refuse(AcceptIdentity, "make sure that the inventory is the one of this cloud", "%s belongs to cluster %s and the copy is of cluster %s", node, uuid, want)
}

// quiet are the users whose connections read at most: health checks of proxies and exporters.
var quiet = []string{"monitor", "haproxy", "proxysql", "clustercheck", "mysqld_exporter"}

func (k *Cluster) checkWriters(s mariadb.Status) {
	var who []string
	for _, c := range s.Clients {
		if c.User != k.o.Login.User && !slices.Contains(quiet, c.User) {
			who = append(who, fmt.Sprintf("%s (%d)", c.User, c.Count))
		}
	}
	if len(who) > 0 {
		k.plan.refuse(AcceptWriters, "stop the services first, with kolla-ansible stop or on the hosts", "connected to %s: %s", s.Node, strings.Join(who, ", "))
	}
}

func (k *Cluster) status(ctx context.Context, n ClusterNode) (mariadb.Status, error) {
	conn, err := mariadb.Connect(ctx, n.Server, k.o.Login)
	if err != nil {
		return mariadb.Status{}, err
	}
	return conn.Status(ctx)
}

func (k *Cluster) describe() {
	first := k.o.Nodes[0].Name
	k.describeStage(first)
	k.plan.Steps = append(k.plan.Steps, fmt.Sprintf("stop the server on %s", strings.Join(k.names(), ", ")))
	for i, n := range k.o.Nodes {
		switch p := k.places[i]; {
		case !p.moved():
			k.plan.Steps = append(k.plan.Steps, fmt.Sprintf("on %s move %s to %s", n.Name, p.datadir, p.aside))
		case p.spare:
			k.plan.Steps = append(k.plan.Steps, fmt.Sprintf("on %s remove what an interrupted restore left in %s, where no server has worked since; %s is kept", n.Name, p.datadir, p.kept))
		}
	}
	k.plan.Undo = k.undo(len(k.o.Nodes))
	k.plan.Keeps = true
	k.plan.Steps = append(k.plan.Steps, fmt.Sprintf("start %s as a new cluster with %s", first, k.o.Control.Describe()))
	for _, n := range k.o.Nodes[1:] {
		k.plan.Steps = append(k.plan.Steps, fmt.Sprintf("start %s, which takes a full copy from the cluster", n.Name))
	}
	k.plan.Steps = append(k.plan.Steps, fmt.Sprintf("check that all %d nodes are Synced in one Primary cluster", len(k.o.Nodes)))
}

// describeStage tells where the new datadir comes from.
func (k *Cluster) describeStage(first string) {
	of := k.component.Name + ", as it was at " + k.component.At.Format("2006-01-02 15:04:05 MST")
	switch p := k.places[0]; {
	case p.ready:
		k.plan.Steps = append(k.plan.Steps, fmt.Sprintf("take the copy of %s, which an interrupted restore has written and prepared in %s on %s", of, k.staging(), first))
		return
	case p.stale:
		k.plan.Notes = append(k.plan.Notes, fmt.Sprintf("an interrupted restore of this point left %s on %s unfinished; it is written anew", k.staging(), first))
	}
	k.plan.Steps = append(k.plan.Steps, fmt.Sprintf("write %s of %s, beside the datadir of %s and prepare it", size(k.size), of, first))
}

// undo tells how the restore is taken back once the datadirs of the first so many nodes have been moved.
func (k *Cluster) undo(moved int) []string {
	var steps []string
	for i, n := range k.o.Nodes[:moved] {
		steps = append(steps, fmt.Sprintf("on %s, with all servers stopped: %s", n.Name, k.places[i].undo()))
	}
	return append(steps, k.restart())
}

// aheadOf is the first node that was a Synced member of the cluster, -1 if there is none: one that was not may lack what the
// others have committed since.
func aheadOf(all []answer) int {
	return slices.IndexFunc(all, func(a answer) bool { return a.err == nil && (a.Synced && a.Primary || !a.Galera) })
}

// restart tells how the old cluster is started.
func (k *Cluster) restart() string {
	if k.ahead < 0 {
		return "start the old cluster anew from the node that was ahead: the one with the highest seqno in its grastate.dat, or, where that is -1, " +
			"with the highest position that mariadbd --wsrep-recover tells; no node was Synced when it was asked. Let the others join it"
	}
	return "start the old cluster anew from " + k.o.Nodes[k.ahead].Name + ", which was stopped last, and let the others join it"
}

func (k *Cluster) names() []string {
	var names []string
	for _, n := range k.o.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// Plan returns what would be done.
func (k *Cluster) Plan() *Plan { return &k.plan }

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

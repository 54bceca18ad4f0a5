// Package ceph captures what a Ceph cluster knows of itself: its configuration, maps, keys, CRUSH rules, pools, gateway and
// orchestrator, and for every block image its facts. It is written as files that Ceph's own commands take back, with a
// list of what each is for and a plan in which order.
package ceph

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/source"
)

// SourceName is the source's word on the command line and in points.
const SourceName = "ceph"

// Options say what to capture.
type Options struct {
	Clusters []Cluster
	Now      func() time.Time
}

// Cluster is a Ceph cluster.
type Cluster struct {
	cephcmd.Cluster
	// Pools are those whose images are backed up, which takes more of the client's capabilities than to look at them.
	Pools []string
}

// Source captures the metadata of clusters. It implements source.Checker.
type Source struct{ Options }

// New returns the source.
func New(o Options) *Source { return &Source{o} }

// Name implements source.Source.
func (s *Source) Name() string { return SourceName }

// Plan implements source.Source: one component for each cluster, always in full, for it is small.
func (s *Source) Plan(context.Context) (source.Plan, error) {
	var plan source.Plan
	for _, c := range s.Clusters {
		plan.Tasks = append(plan.Tasks, source.Task{
			Source: SourceName, Name: c.Name, Kind: point.Metadata, Mode: point.Full, Host: c.On.String(),
			Path: SourceName + "/" + c.Name, Required: true, Reason: "all of it, as client." + c.ID,
		})
	}
	return plan, nil
}

// Capture implements source.Source.
func (s *Source) Capture(ctx context.Context, t source.Task, sink source.Sink) (source.Outcome, error) {
	for _, c := range s.Clusters {
		if c.Name == t.Name {
			k := &capture{cluster: c, sink: sink, now: s.Now()}
			return k.run(ctx)
		}
	}
	return source.Outcome{}, fmt.Errorf("there is no cluster %s", t.Name)
}

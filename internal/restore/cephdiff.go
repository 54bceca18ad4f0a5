package restore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/source/ceph"
)

// CephDiff says how a running cluster differs from what a point holds of it.
type CephDiff struct {
	Point   string    `json:"point"`
	Cluster string    `json:"cluster"`
	Same    bool      `json:"same"`
	FSID    Values    `json:"fsid"`
	Crush   CrushDiff `json:"crush"`
	Auth    AuthDiff  `json:"auth"`
}

// Values is one thing in the point and in the cluster.
type Values struct {
	Point string `json:"point"`
	Now   string `json:"now"`
}

// CrushDiff says how CRUSH maps differ, by line: one that begins with - is in the point alone, with + in the cluster alone.
type CrushDiff struct {
	Same    bool     `json:"same"`
	Form    string   `json:"form"` // text, or json where crushtool is not installed
	Lines   []string `json:"lines"`
	Unknown string   `json:"unknown,omitempty"` // why they were not compared
}

// AuthDiff says how keys and capabilities differ. Of keys it tells only whether they are the same.
type AuthDiff struct {
	Same     bool         `json:"same"`
	Entities []EntityDiff `json:"entities"` // that differ, by name
	Unknown  string       `json:"unknown,omitempty"`
}

// EntityDiff is one who may use the cluster.
type EntityDiff struct {
	Entity string            `json:"entity"`
	Change string            `json:"change"` // only in the point, only in the cluster, changed
	Key    string            `json:"key"`    // same, differs; "" for what is on one side alone
	Caps   map[string]Values `json:"caps"`   // that differ, by service
}

// The ways in which an entity differs.
const (
	onlyPoint   = "only in the point"
	onlyCluster = "only in the cluster"
	changed     = "changed"
)

// CephDiff compares the CRUSH map, keys and capabilities in a point with those of the running cluster.
func (r *Restorer) CephDiff(ctx context.Context, p point.Point, cluster string, on cephcmd.Cluster) (CephDiff, error) {
	c, err := r.cephCopy(ctx, p, cluster)
	if err != nil {
		return CephDiff{}, err
	}
	answers, err := on.Ask(ctx, cephcmd.Mon("fsid"), cephcmd.Mon("osd getcrushmap"), cephcmd.Mon("osd crush dump", "format", "json"), cephcmd.Mon("auth export"))
	if err != nil {
		return CephDiff{}, err
	}
	d := CephDiff{Point: p.ID, Cluster: c.component.Name, FSID: Values{c.contents.FSID, string(bytes.TrimSpace(answers[0].Body))}}
	if d.Crush, err = c.crush(ctx, on, answers[1], answers[2]); err != nil {
		return d, err
	}
	if d.Auth, err = c.auth(on, answers[3]); err != nil {
		return d, err
	}
	d.Same = d.FSID.Point == d.FSID.Now && d.Crush.Same && d.Auth.Same
	return d, nil
}

// crush compares the maps as text, both made by the same crushtool, or else as JSON.
func (c cephCopy) crush(ctx context.Context, on cephcmd.Cluster, compiled, dumped cephcmd.Answer) (CrushDiff, error) {
	d := CrushDiff{Form: "text", Lines: []string{}}
	was, err := c.read(ceph.CrushFile)
	if err != nil {
		return d, err
	}
	if was == nil || compiled.Err != 0 {
		d.Unknown = unknown(on, was == nil, compiled)
		return d, nil
	}
	was, err = ceph.Decompile(ctx, on, was)
	var now []byte
	if err == nil {
		now, err = ceph.Decompile(ctx, on, compiled.Body)
	}
	if errors.Is(err, ceph.ErrNoCrushtool) {
		d.Form = "json"
		if was, err = c.read(ceph.CrushJSONFile); was == nil || dumped.Err != 0 {
			d.Unknown = unknown(on, was == nil, dumped)
			return d, err
		}
		now, err = pretty(dumped.Body)
	}
	d.Lines = append(d.Lines, lineDiff(was, now)...)
	d.Same = err == nil && len(d.Lines) == 0
	return d, err
}

func pretty(text []byte) ([]byte, error) {
	var out bytes.Buffer
	err := json.Indent(&out, bytes.TrimSpace(text), "", "  ")
	out.WriteByte('\n')
	return out.Bytes(), err
}

func unknown(on cephcmd.Cluster, notInPoint bool, a cephcmd.Answer) string {
	switch {
	case notInPoint:
		return "the point does not hold it"
	case a.Denied():
		return fmt.Sprintf("client.%s may not read it in cluster %s; holdfast doctor prints the capabilities it needs", on.ID, on)
	}
	return a.Err.Error()
}

func (c cephCopy) auth(on cephcmd.Cluster, exported cephcmd.Answer) (AuthDiff, error) {
	d := AuthDiff{Entities: []EntityDiff{}}
	keyring, err := c.read(ceph.KeyringFile)
	if err != nil {
		return d, err
	}
	if keyring == nil || exported.Err != 0 {
		d.Unknown = unknown(on, keyring == nil, exported)
		return d, nil
	}
	was, now := ceph.ParseKeyring(keyring), ceph.ParseKeyring(exported.Body)
	names := slices.Sorted(maps.Keys(was))
	for name := range now {
		if _, ok := was[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if e := entityDiff(was, now, name); e.Change != "" {
			d.Entities = append(d.Entities, e)
		}
	}
	d.Same = len(d.Entities) == 0
	return d, nil
}

func entityDiff(was, now map[string]ceph.Entity, name string) EntityDiff {
	a, before := was[name]
	b, after := now[name]
	e := EntityDiff{Entity: name, Caps: map[string]Values{}}
	for _, service := range slices.Concat(slices.Collect(maps.Keys(a.Caps)), slices.Collect(maps.Keys(b.Caps))) {
		if a.Caps[service] != b.Caps[service] {
			e.Caps[service] = Values{a.Caps[service], b.Caps[service]}
		}
	}
	switch {
	case !after:
		e.Change = onlyPoint
	case !before:
		e.Change = onlyCluster
	default:
		e.Key = "same"
		if !a.SameKey(b) {
			e.Key = "differs"
		}
		if len(e.Caps) > 0 || e.Key != "same" {
			e.Change = changed
		}
	}
	return e
}

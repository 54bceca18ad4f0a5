package ceph

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"holdfast/internal/cephcmd"
)

// osdMap is what more is made from of the OSD map.
type osdMap struct {
	Epoch    int64                        `json:"epoch"`
	FSID     string                       `json:"fsid"`
	Pools    []pool                       `json:"pools"`
	Profiles map[string]map[string]string `json:"erasure_code_profiles"`
}

// pool is a pool as the OSD map has it.
type pool struct {
	ID           int64                     `json:"pool"`
	Name         string                    `json:"pool_name"`
	Type         int                       `json:"type"` // 1 replicated, 3 erasure coded
	Size         int                       `json:"size"`
	MinSize      int                       `json:"min_size"`
	Rule         int                       `json:"crush_rule"`
	PGs          int                       `json:"pg_num"`
	PGPs         int                       `json:"pg_placement_num"`
	Flags        string                    `json:"flags_names"`
	Profile      string                    `json:"erasure_code_profile"`
	QuotaBytes   int64                     `json:"quota_max_bytes"`
	QuotaObjects int64                     `json:"quota_max_objects"`
	Applications map[string]map[string]any `json:"application_metadata"`
	Autoscale    string                    `json:"pg_autoscale_mode"`
	Options      map[string]any            `json:"options"`
}

func (p pool) uses(application string) bool {
	_, ok := p.Applications[application]
	return ok
}

// of are the pools with an application, by name.
func (m osdMap) of(application string) []pool {
	pools := slices.DeleteFunc(slices.Clone(m.Pools), func(p pool) bool { return !p.uses(application) })
	slices.SortFunc(pools, func(a, b pool) int { return strings.Compare(a.Name, b.Name) })
	return pools
}

// binaryFSID is the cluster's identity as its binary maps hold it.
func (m osdMap) binaryFSID() []byte {
	id, _ := hex.DecodeString(strings.ReplaceAll(m.FSID, "-", ""))
	return id
}

// takeEpoch looks whether the map moved while it was read, which is no fault.
func (c *capture) takeEpoch(a cephcmd.Answer) error {
	var now struct {
		Epoch int64 `json:"epoch"`
	}
	if a.Err != 0 || json.Unmarshal(a.Body, &now) != nil {
		return nil
	}
	c.proof["osdmap_epoch_after"] = now.Epoch
	if was := c.osds.Epoch; now.Epoch != was {
		c.note("the OSD map moved from epoch %d to %d while it was read; the maps captured are of %d", was, now.Epoch, was)
	}
	return nil
}

// identity says which cluster this is, in which state.
func (c *capture) identity() map[string]any {
	var mon struct {
		Epoch int64 `json:"epoch"`
	}
	var versions struct {
		Overall map[string]int `json:"overall"`
	}
	_ = json.Unmarshal(c.bodies[monFile], &mon)
	_ = json.Unmarshal(c.bodies[versionFile], &versions)
	return map[string]any{
		"fsid": c.osds.FSID, "osdmap_epoch": c.osds.Epoch, "monmap_epoch": mon.Epoch, "versions": versions.Overall,
		"pools": len(c.osds.Pools), "client": c.contents.Client,
	}
}

package inventory

import (
	"fmt"
	"slices"
	"strconv"

	"holdfast/internal/problem"
)

// Shard is one Galera cluster of the cloud.
type Shard struct {
	ID    int
	Hosts []*Host // in the inventory's order: Kolla writes to the first
}

// Shards returns the Galera clusters by id: the hosts of group mariadb, parted by mariadb_shard_id (0 by default). Two
// members at one address are an error, since they would be counted as two copies of the data.
func (inv *Inventory) Shards() ([]Shard, error) {
	byID := map[int]*Shard{}
	for _, h := range inv.Group("mariadb") {
		id, err := h.shardID()
		if err != nil {
			return nil, err
		}
		if byID[id] == nil {
			byID[id] = &Shard{ID: id}
		}
		byID[id].Hosts = append(byID[id].Hosts, h)
	}
	var shards []Shard
	for _, s := range byID {
		if twins := sameAddress(s.Hosts); len(twins) > 0 {
			return nil, problem.New(problem.Usage, "give every member its own ansible_host in the inventory",
				"mariadb shard %d: %s", s.ID, twins[0])
		}
		shards = append(shards, *s)
	}
	slices.SortFunc(shards, func(a, b Shard) int { return a.ID - b.ID })
	return shards, nil
}

func (h *Host) shardID() (int, error) {
	const name = "mariadb_shard_id"
	text, err := h.lookup(name)
	if err != nil {
		return 0, problem.New(problem.Usage, "set "+name+" to a plain number in the inventory", "%w", err)
	}
	if text == "" {
		return 0, nil
	}
	id, err := strconv.Atoi(text)
	if err != nil || id < 0 {
		return 0, problem.New(problem.Usage, "set "+name+" to a number from 0 on in the inventory",
			"%s of %s is %q", name, h.Name, text)
	}
	return id, nil
}

// sameAddress says which hosts stand for one machine under two names.
func sameAddress(hosts []*Host) []string {
	var twins []string
	seen := map[string]string{}
	for _, h := range hosts {
		c, err := h.Connection()
		if err != nil {
			continue // told when it is connected to
		}
		key := c.Where()
		if other := seen[key]; other != "" {
			twins = append(twins, fmt.Sprintf("hosts %s and %s have the same address %s", other, h.Name, key))
		}
		seen[key] = h.Name
	}
	return twins
}

package drill

import (
	"testing"

	"holdfast/internal/point"
)

func TestUnwritten(t *testing.T) {
	id := func(more map[string]any) map[string]any {
		m := map[string]any{"cluster_uuid": "u"}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	idle := [2]map[string]any{
		id(map[string]any{"planned_lsn": 500., "planned_seqno": 7., "seqno": 7.}), id(map[string]any{"seqno": 7., "seqno_after": 7.}),
	}
	busy := [2]map[string]any{
		id(map[string]any{"planned_lsn": 500., "planned_seqno": 7., "seqno": 20.}), id(map[string]any{"seqno": 9., "seqno_after": 15.}),
	}
	early := [2]map[string]any{busy[0], id(map[string]any{"seqno": 9., "seqno_after": 25.})}     // the copy may be older than what the dump saw
	behind := [2]map[string]any{busy[0], id(map[string]any{"seqno": 5., "seqno_after": 15.})}    // the dump's node lagged
	before := [2]map[string]any{id(map[string]any{"seqno": 7.}), idle[1]}                        // of a version that did not record
	foreign := [2]map[string]any{idle[0], {"cluster_uuid": "v", "seqno": 7., "seqno_after": 7.}} // of another cluster
	for _, test := range []struct {
		name  string
		ids   [2]map[string]any
		same  bool // node
		table string
		lsn   uint64
		pages bool
		want  bool
	}{
		{"old pages", busy, false, "nova.instances", 500, true, true},
		{"young pages", busy, false, "nova.instances", 501, true, false},
		{"copy before dump", early, false, "nova.instances", 100, true, false},
		{"lagging", behind, false, "nova.instances", 100, true, false},
		{"not recorded", before, false, "nova.instances", 100, true, false},
		{"another cluster", foreign, false, "nova.instances", 100, true, false},
		{"a node's own", busy, false, "mysql.innodb_index_stats", 100, true, false},
		{"a node's own, of that node", busy, true, "mysql.innodb_index_stats", 100, true, true},
		{"no pages, nothing written", idle, true, "mysql.global_priv", 0, false, true},
		{"no pages, of another node", idle, false, "mysql.global_priv", 0, false, false},
		{"no pages, something written", busy, true, "mysql.global_priv", 0, false, false},
	} {
		host := map[bool]string{true: "ctl2", false: "ctl3"}[test.same]
		m := momentsOf(point.Component{Host: "ctl2", Identity: test.ids[0]}, point.Component{Host: host, Identity: test.ids[1]})
		if got := m.unwritten(test.table, test.lsn, test.pages); got != test.want {
			t.Errorf("%s: %v, want %v: %+v", test.name, got, test.want, m)
		}
	}
}

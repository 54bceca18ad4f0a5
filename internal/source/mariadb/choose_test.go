package mariadb

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// synced is a node without fault; change alters its facts.
func synced(name string, change ...func(*observation)) observation {
	o := observation{Node: Node{Name: name}, facts: facts{values: map[string]string{
		"wsrep_on": "ON", "wsrep_cluster_status": "Primary", "wsrep_ready": "ON", "wsrep_local_state_comment": "Synced",
		"wsrep_local_recv_queue": "0", "wsrep_last_committed": "5000", "threads_connected": "3",
	}}}
	for _, c := range change {
		c(&o)
	}
	return o
}

func with(name, value string) func(*observation) {
	return func(o *observation) { o.facts.values[name] = value }
}

func writes(n int64) func(*observation) { return func(o *observation) { o.facts.written = n } }

func down(o *observation) { o.err = errors.New("connection refused") }

func TestRankAvoidsTheWriterAndWhoeverLags(t *testing.T) {
	cases := []struct {
		name   string
		nodes  []observation
		prefer string
		order  []string
		reason string // of the first
	}{
		{"nothing known: the first of the inventory writes", []observation{synced("a"), synced("b"), synced("c")}, "",
			[]string{"b", "c", "a"}, "not the writer (a is first in the inventory"},
		{"commits are the best evidence", []observation{synced("a"), synced("b", writes(40)), synced("c", writes(2))}, "",
			[]string{"a", "c", "b"}, "not the writer (b commits the cloud's writes (40"},
		{"then connections", []observation{synced("a"), synced("b"), synced("c", with("threads_connected", "90"))}, "",
			[]string{"a", "b", "c"}, "not the writer (c holds the most client connections (90)"},
		{"a node that lags comes before the writer only", []observation{synced("a"), synced("b", with("wsrep_local_recv_queue", "900")), synced("c")}, "",
			[]string{"c", "b", "a"}, "not the writer"},
		{"so does one that is far behind", []observation{synced("a"), synced("b", with("wsrep_last_committed", "4000")), synced("c")}, "",
			[]string{"c", "b", "a"}, "not the writer"},
		{"a short queue is no lag", []observation{synced("a"), synced("b", with("wsrep_local_recv_queue", "7")), synced("c")}, "",
			[]string{"b", "c", "a"}, "not the writer"},
		{"the node of the last copy", []observation{synced("a"), synced("b"), synced("c")}, "c",
			[]string{"c", "b", "a"}, "the node of the last good copy"},
		{"but never the writer for that", []observation{synced("a"), synced("b"), synced("c")}, "a",
			[]string{"b", "c", "a"}, "not the writer"},
		{"the writer for want of another", []observation{synced("a"), synced("b", down), synced("c", down)}, "",
			[]string{"a"}, "for want of another node"},
		{"one node", []observation{synced("a")}, "", []string{"a"}, "the only node"},
		{"no Galera", []observation{synced("a", with("wsrep_on", "OFF"), with("wsrep_ready", "OFF"))}, "", []string{"a"}, "not part of a Galera cluster"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var order []string
			r := rank(c.nodes, c.prefer)
			for _, o := range r.order {
				order = append(order, c.nodes[o.node].Name)
			}
			if diff := cmp.Diff(c.order, order); diff != "" {
				t.Fatalf("order (-want +got):\n%s", diff)
			}
			if !strings.Contains(r.order[0].reason, c.reason) {
				t.Errorf("reason %q does not say %q", r.order[0].reason, c.reason)
			}
		})
	}
}

func TestRankRejectsWithAReason(t *testing.T) {
	cases := map[string]observation{
		"connection refused":   synced("x", down),
		"is Donor/Desynced":    synced("x", with("wsrep_local_state_comment", "Donor/Desynced")),
		"is Joining":           synced("x", with("wsrep_local_state_comment", "Joining")),
		"is non-Primary":       synced("x", with("wsrep_cluster_status", "non-Primary")),
		"wsrep_ready is OFF":   synced("x", with("wsrep_ready", "OFF")),
		"cluster is unknown":   synced("x", with("wsrep_cluster_status", "")),
		"in an unknown state,": synced("x", with("wsrep_local_state_comment", "")),
	}
	for want, o := range cases {
		r := rank([]observation{o, synced("y")}, "")
		if len(r.order) != 1 || r.order[0].node != 1 {
			t.Errorf("%s: chosen anyway", want)
		}
		if len(r.rejected) != 1 || !strings.Contains(r.rejected[0], want) || !strings.HasPrefix(r.rejected[0], "x: ") {
			t.Errorf("rejected %q, want the reason %q", r.rejected, want)
		}
	}
}

func TestSecondNodeOnlyWhenItDisturbsNobody(t *testing.T) {
	three := []observation{synced("a"), synced("b"), synced("c")}
	if got := three[rank(three, "").second().node].Name; got != "c" {
		t.Errorf("three nodes: the second copy comes from %s, want c", got)
	}
	two := three[:2]
	if got := two[rank(two, "").second().node].Name; got != "b" {
		t.Errorf("two nodes: the second copy comes from %s, want b, the node that does not write", got)
	}
	slow := slices.Clone(three)
	slow[2] = synced("c", with("wsrep_local_recv_queue", "5000"))
	if got := slow[rank(slow, "").second().node].Name; got != "b" {
		t.Errorf("c lags: the second copy comes from %s, want b", got)
	}
}

func TestPITRVerdict(t *testing.T) {
	cases := []struct {
		change []func(*observation)
		want   string
	}{
		{nil, "off"},
		{[]func(*observation){with("log_bin", "ON")}, "unsafe"},
		{[]func(*observation){with("log_bin", "ON"), with("log_slave_updates", "ON"), with("wsrep_gtid_mode", "ON")}, "safe"},
		{[]func(*observation){with("log_bin", "ON"), with("wsrep_on", "OFF")}, "safe"},
	}
	for _, c := range cases {
		if got := synced("a", c.change...).facts.pitr(); got != c.want {
			t.Errorf("pitr is %q, want %q", got, c.want)
		}
	}
}

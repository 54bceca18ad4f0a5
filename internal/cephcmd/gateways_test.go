package cephcmd

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestGatewaysOfAServiceMap reads a map with gateways of all kinds, and other daemons.
func TestGatewaysOfAServiceMap(t *testing.T) {
	const dump = `{"epoch": 7, "modified": "2026-01-02T03:04:05.000000+0000", "services": {
		"rbd-mirror": {"daemons": {"summary": "", "4100": {"addr": "10.0.0.9:0/1", "metadata": {}}}},
		"rgw": {"daemons": {"summary": "1 portal",
			"4133": {"start_epoch": 3, "gid": 4133, "addr": "10.0.0.1:0/2541340", "metadata": {"frontend_type#0": "beast", "frontend_config#0": "beast port=7480 ssl_port=7443+8443s"}},
			"4150": {"addr": "v1:[fd00::2]:0/17", "metadata": {"frontend_config#0": "beast endpoint=[fd00::2]:80, ssl_endpoint=0.0.0.0:443 ssl_certificate=config://a"}},
			"4160": {"addr": "-", "metadata": {}},
			"4170": {"addr": "10.0.0.3:0/1", "metadata": {}}}}}}`
	var m serviceMap
	if err := json.Unmarshal([]byte(dump), &m); err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddr
	want := []Gateway{{at("10.0.0.1"), []uint16{7443, 7480, 8443}}, {at("10.0.0.3"), nil}, {at("fd00::2"), []uint16{80, 443}}}
	if diff := cmp.Diff(want, m.gateways(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

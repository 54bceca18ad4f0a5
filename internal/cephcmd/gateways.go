package cephcmd

import (
	"cmp"
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Gateway is where a cluster serves buckets: the address of the host that one of its daemons runs on, and the ports that it listens at,
// as far as it tells them.
type Gateway struct {
	Addr  netip.Addr
	Ports []uint16
}

// Gateways returns those that run now.
func (c Cluster) Gateways(ctx context.Context) ([]Gateway, error) {
	var m serviceMap
	if err := c.ask(ctx, &m, "service dump"); err != nil {
		return nil, err
	}
	return m.gateways(), nil
}

// serviceMap is what the manager was told by daemons that are neither monitors nor OSDs, by the kind of service. Beside the daemons
// of a service, by their numbers, stands a summary, which is text.
type serviceMap struct {
	Services map[string]struct {
		Daemons map[string]json.RawMessage `json:"daemons"`
	} `json:"services"`
}

func (m serviceMap) gateways() (all []Gateway) {
	for _, d := range m.Services["rgw"].Daemons {
		var daemon struct {
			Addr     string            `json:"addr"` // IP:PORT/NONCE of its connection to the cluster
			Metadata map[string]string `json:"metadata"`
		}
		if json.Unmarshal(d, &daemon) != nil {
			continue
		}
		text, _, _ := strings.Cut(daemon.Addr, "/")
		for _, kind := range []string{"v1:", "v2:", "any:"} {
			text = strings.TrimPrefix(text, kind)
		}
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			continue
		}
		g := Gateway{Addr: at.Addr().Unmap()}
		for name, value := range daemon.Metadata {
			if strings.HasPrefix(name, "frontend_config#") {
				g.Ports = append(g.Ports, portsOf(value)...)
			}
		}
		slices.Sort(g.Ports)
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b Gateway) int { return cmp.Or(a.Addr.Compare(b.Addr), slices.Compare(a.Ports, b.Ports)) })
	return all
}

// portsOf are the ports in the line that configures a frontend, such as: beast port=7480 ssl_endpoint=[::]:443
func portsOf(frontend string) (ports []uint16) {
	for _, word := range strings.FieldsFunc(frontend, func(r rune) bool { return r == ' ' || r == ',' }) {
		key, value, _ := strings.Cut(word, "=")
		switch strings.TrimPrefix(key, "ssl_") {
		case "port":
		case "endpoint":
			value = value[strings.LastIndexByte(value, ':')+1:]
		default:
			continue
		}
		for _, one := range strings.Split(value, "+") {
			if n, err := strconv.ParseUint(strings.TrimSuffix(one, "s"), 10, 16); err == nil {
				ports = append(ports, uint16(n))
			}
		}
	}
	return ports
}

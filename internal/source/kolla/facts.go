package kolla

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/host"
)

//go:embed facts.sh
var factsScript string

// facts are what a host says of itself.
type facts struct {
	values     map[string]string
	containers []container // that run, by name
	silent     bool        // the engine is there and does not tell which run
}

// container is one that runs on a host, with the image it was made from.
type container struct {
	Name   string `json:"name"`
	Image  string `json:"image"`
	Digest string `json:"digest"`
}

func (c *capture) facts(ctx context.Context) (facts, error) {
	engine := c.source.o.Globals.Engine()
	out, err := host.Output(ctx, c.host, host.Cmd{Args: []string{"sh", "-c", factsScript, "facts", engine}})
	if err != nil {
		return facts{}, fmt.Errorf("ask what the host is: %w", err)
	}
	f := parseFacts(string(out))
	if _, f.silent = f.values["engine_silent"]; f.silent {
		delete(f.values, "engine_silent")
	}
	f.values["container_engine"] = engine
	o := c.source.o.Globals
	f.values["openstack_release"], f.values["base_distro"] = o.Release(), o.BaseDistro()
	return f, nil
}

func parseFacts(text string) facts {
	f := facts{values: map[string]string{}}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if !ok {
			continue
		}
		if key != "container" {
			f.values[key] = value
			continue
		}
		if w := strings.Fields(value); len(w) == 3 {
			f.containers = append(f.containers, container{strings.TrimPrefix(w[0], "/"), w[1], w[2]})
		}
	}
	slices.SortFunc(f.containers, func(a, b container) int { return strings.Compare(a.Name, b.Name) })
	return f
}

// runs reports whether a container of that name runs.
func (f facts) runs(name string) bool {
	return slices.ContainsFunc(f.containers, func(c container) bool { return c.Name == name })
}

func (f facts) identity() map[string]any {
	id := map[string]any{}
	for key, value := range f.values {
		if value != "" {
			id[key] = value
		}
	}
	if len(f.containers) > 0 {
		id["containers"] = f.containers
	}
	return id
}

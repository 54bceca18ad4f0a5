package ceph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// option is an option in the monitors' database.
type option struct {
	Section string `json:"section"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Mask    string `json:"mask"`
}

// derive adds files that the cluster takes back as they are, made from what it answered.
func (c *capture) derive(context.Context) error {
	var options []option
	if body := c.bodies[optionsFile]; body != nil {
		if err := json.Unmarshal(body, &options); err != nil {
			return fmt.Errorf("read %s: %w", optionsFile, err)
		}
		e := Entry{File: "config/options.conf", Command: "ceph config dump", For: "the same options as ceph.conf writes them", Back: "ceph config assimilate-conf -i config/options.conf"}
		if err := c.put(e, optionsConf(options)); err != nil {
			return err
		}
	}
	if body := c.bodies[KeyringFile]; body != nil {
		e := Entry{
			File: "auth/clients.keyring", Command: "ceph auth export", For: "the keys of clients alone, for a cluster that has daemons and an administrator of its own; secret",
			Back: "ceph auth import -i auth/clients.keyring",
		}
		if err := c.put(e, clients(body)); err != nil {
			return err
		}
	}
	c.parsed++
	e := Entry{File: "pools/erasure-code-profiles.json", Command: "ceph osd erasure-code-profile ls; get, for each", For: "the erasure code profiles", Back: "sh pools/create.sh"}
	if err := c.put(e, readable(c.osds.Profiles)); err != nil {
		return err
	}
	e = Entry{File: "pools/create.sh", Command: "ceph osd pool ls detail", For: "making profiles and pools again, empty", Back: "sh pools/create.sh"}
	return c.put(e, []byte(c.osds.script(c.ruleNames())))
}

// optionsConf groups options by whom they are for.
func optionsConf(options []option) []byte {
	by := map[string][]option{}
	for _, o := range options {
		section := o.Section
		if o.Mask != "" {
			section += "/" + o.Mask
		}
		by[section] = append(by[section], o)
	}
	var out bytes.Buffer
	for _, section := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(&out, "[%s]\n", section)
		for _, o := range by[section] {
			if strings.ContainsAny(o.Value, "\n\r") {
				fmt.Fprintf(&out, "# %s has more than one line: see options.json\n", o.Name)
				continue
			}
			fmt.Fprintf(&out, "%s = %s\n", o.Name, confValue(o.Value))
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// confValue is a value as ceph.conf takes it, where a # or ; begins a comment, in quotes too.
func confValue(v string) string {
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "'", `\'`, "#", `\#`, ";", `\;`).Replace(v)
	if v != strings.TrimSpace(v) || v == "" {
		return `"` + escaped + `"`
	}
	return escaped
}

func (c *capture) ruleNames() map[int]string {
	var rules []struct {
		ID   int    `json:"rule_id"`
		Name string `json:"rule_name"`
	}
	_ = json.Unmarshal(c.bodies["crush/rules.json"], &rules)
	names := map[int]string{}
	for _, r := range rules {
		names[r.ID] = r.Name
	}
	return names
}

const erasure = 3

// script makes profiles and pools again. They get other numbers than they had.
func (m osdMap) script(rules map[int]string) string {
	var b strings.Builder
	b.WriteString(scriptHead)
	for _, name := range slices.Sorted(maps.Keys(m.Profiles)) {
		fmt.Fprintf(&b, "ceph osd erasure-code-profile set %s", quoted(name))
		for _, k := range slices.Sorted(maps.Keys(m.Profiles[name])) {
			fmt.Fprintf(&b, " %s", quoted(k+"="+m.Profiles[name][k]))
		}
		b.WriteString(" --force\n")
	}
	for _, p := range m.Pools {
		b.WriteString(p.script(rules))
	}
	return b.String()
}

func (p pool) script(rules map[int]string) string {
	var b strings.Builder
	name := quoted(p.Name)
	set := func(key string, value any) { fmt.Fprintf(&b, "ceph osd pool set %s %s %v\n", name, key, value) }
	fmt.Fprintf(&b, "\nceph osd pool create %s %d %d ", name, p.PGs, p.PGPs)
	if p.Type == erasure {
		fmt.Fprintf(&b, "erasure %s %s\n", quoted(p.Profile), quoted(rules[p.Rule]))
	} else {
		fmt.Fprintf(&b, "replicated %s\n", quoted(rules[p.Rule]))
		set("size", p.Size)
	}
	set("min_size", p.MinSize)
	if strings.Contains(p.Flags, "ec_overwrites") {
		set("allow_ec_overwrites", true)
	}
	if p.Autoscale != "" {
		set("pg_autoscale_mode", p.Autoscale)
	}
	for _, k := range slices.Sorted(maps.Keys(p.Options)) {
		set(k, p.Options[k])
	}
	for _, app := range slices.Sorted(maps.Keys(p.Applications)) {
		fmt.Fprintf(&b, "ceph osd pool application enable %s %s --yes-i-really-mean-it\n", name, quoted(app))
	}
	if p.QuotaBytes > 0 {
		fmt.Fprintf(&b, "ceph osd pool set-quota %s max_bytes %d\n", name, p.QuotaBytes)
	}
	if p.QuotaObjects > 0 {
		fmt.Fprintf(&b, "ceph osd pool set-quota %s max_objects %d\n", name, p.QuotaObjects)
	}
	return b.String()
}

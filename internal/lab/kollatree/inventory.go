package kollatree

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// topGroups are the groups that hosts are put into; each line below is a group and those whose hosts it takes.
var topGroups = []string{"control", "network", "compute", "monitoring", "storage"}

const childGroups = `baremetal: control network compute storage monitoring
tls-backend: control
common: control network compute storage monitoring
loadbalancer: network
mariadb: control
rabbitmq: control
memcached: control
etcd: control
keystone: control
glance: control
glance-api: glance
nova: control
nova-api: nova
nova-conductor: nova
nova-super-conductor: nova
nova-novncproxy: nova
nova-scheduler: nova
placement: control
placement-api: placement
neutron: network
neutron-server: control
neutron-dhcp-agent: neutron
neutron-l3-agent: neutron
neutron-metadata-agent: neutron
openvswitch: network compute
cinder: control
cinder-api: cinder
cinder-scheduler: cinder
cinder-volume: storage
cinder-backup: storage
heat: control
heat-api: heat
heat-engine: heat
horizon: control
barbican: control
barbican-api: barbican
barbican-worker: barbican
octavia: control
octavia-api: octavia
octavia-worker: octavia
proxysql: loadbalancer
prometheus: monitoring
grafana: monitoring`

// inventory writes multinode and the variables beside it. Hosts of control carry theirs on their line, all others in
// host_vars, so that a reader has to know both.
func (w *writer) inventory() {
	dir := w.spec.InventoryDir
	w.dir(dir, 0o755, root)
	w.tree.Inventory = dir + "/multinode"
	w.file(w.tree.Inventory, 0o640, root, w.multinode())
	w.file(dir+"/group_vars/all.yml", 0o644, root, "---\nlab_cloud: \""+w.spec.Cloud+"\"\nansible_python_interpreter: /usr/bin/python3\n")
	w.file(dir+"/group_vars/control.yml", 0o644, root, "---\nkeepalived_virtual_router_id: 51\n")
	for _, h := range w.spec.Hosts {
		if !inline(h) {
			w.file(dir+"/host_vars/"+h.Name+".yml", 0o644, root, yaml(h.vars()))
		}
	}
}

func inline(h HostSpec) bool { return slices.Contains(h.Groups, "control") }

func (w *writer) multinode() string {
	var b strings.Builder
	b.WriteString("# The hosts of " + w.spec.Cloud + ".\n")
	for _, g := range topGroups {
		fmt.Fprintf(&b, "\n[%s]\n", g)
		if g == "control" {
			b.WriteString(w.controlLines())
		} else {
			b.WriteString(lines(ranges(w.spec.in(g))))
		}
	}
	b.WriteString("\n[deployment]\nlocalhost ansible_connection=local\n")
	for _, g := range w.spec.groups() {
		if !slices.Contains(topGroups, g) {
			fmt.Fprintf(&b, "\n[%s]\n%s", g, lines(ranges(w.spec.in(g))))
		}
	}
	for line := range strings.Lines(childGroups) {
		group, children, _ := strings.Cut(strings.TrimSpace(line), ": ")
		fmt.Fprintf(&b, "\n[%s:children]\n%s", group, lines(strings.Fields(children)))
	}
	b.WriteString("\n[loadbalancer:vars]\nkeepalived_track_script_enabled=yes\n")
	return b.String()
}

// controlLines names each control host with its variables.
func (w *writer) controlLines() string {
	var b strings.Builder
	for _, h := range w.spec.Hosts {
		if !inline(h) {
			continue
		}
		b.WriteString(h.Name)
		vars := h.vars()
		for _, k := range slices.Sorted(maps.Keys(vars)) {
			fmt.Fprintf(&b, " %s=%s", k, iniValue(vars[k]))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// vars are the variables that reach the host, and its own.
func (h HostSpec) vars() map[string]string {
	vars := map[string]string{
		"ansible_host": h.Addr, "ansible_user": h.User, "ansible_ssh_private_key_file": h.KeyFile, "ansible_ssh_common_args": h.SSHArgs,
	}
	if h.Port != 0 {
		vars["ansible_port"] = strconv.Itoa(h.Port)
	}
	maps.Copy(vars, h.Vars)
	maps.DeleteFunc(vars, func(_, v string) bool { return v == "" })
	return vars
}

// iniValue quotes what Ansible would split.
func iniValue(v string) string {
	if strings.ContainsAny(v, " \t#'") {
		return strconv.Quote(v)
	}
	return v
}

var numbered = regexp.MustCompile(`^(.*?)([1-9][0-9]*)$`)

// ranges writes runs of numbered names as Ansible's ranges: cmp1, cmp2, cmp3 become cmp[1:3].
func ranges(names []string) []string {
	var out []string
	for i := 0; i < len(names); {
		end := i + 1
		for end < len(names) && follows(names[end-1], names[end]) {
			end++
		}
		if end-i < 2 {
			out = append(out, names[i])
		} else {
			first, last := numbered.FindStringSubmatch(names[i]), numbered.FindStringSubmatch(names[end-1])
			out = append(out, fmt.Sprintf("%s[%s:%s]", first[1], first[2], last[2]))
		}
		i = end
	}
	return out
}

// follows reports whether b is a's name with the next number.
func follows(a, b string) bool {
	x, y := numbered.FindStringSubmatch(a), numbered.FindStringSubmatch(b)
	if x == nil || y == nil || x[1] != y[1] {
		return false
	}
	m, _ := strconv.Atoi(x[2])
	n, _ := strconv.Atoi(y[2])
	return n == m+1
}

func lines(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, "\n") + "\n"
}

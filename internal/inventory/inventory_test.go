package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `{
 "_meta": {"hostvars": {
   "ctl1": {"ansible_host": "10.0.0.11", "ansible_user": "kolla", "ansible_port": 2222, "mariadb_shard_id": "1"},
   "ctl2": {"ansible_host": "{{ api_address }}", "api_address": "10.0.0.12", "ansible_user": "root"},
   "cmp1": {"ansible_host": "{{ hostvars.x }}", "ansible_become": "yes", "pw": {"__ansible_vault": "$ANSIBLE_VAULT;1.1"}}
 }},
 "all": {"children": ["ungrouped", "control", "compute", "baremetal", "mariadb"]},
 "baremetal": {"children": ["control", "compute"]},
 "compute": {"hosts": ["cmp1"]},
 "control": {"hosts": ["ctl2", "ctl1"]},
 "mariadb": {"children": ["control", "mariadb"]},
 "odd": {"hosts": ["stray"]}
}`

func parsed(t *testing.T, list string) *Inventory {
	t.Helper()
	inv, err := Parse([]byte(list))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func names(hosts []*Host) []string {
	var out []string
	for _, h := range hosts {
		out = append(out, h.Name)
	}
	return out
}

func TestGroupsKeepTheInventorysOrderAndNameEachHostOnce(t *testing.T) {
	inv := parsed(t, sample)
	if diff := cmp.Diff([]string{"ctl2", "ctl1", "cmp1", "stray"}, names(inv.Hosts)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ctl2", "ctl1", "cmp1"}, names(inv.Group("baremetal"))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"baremetal", "control", "mariadb"}, inv.Host("ctl1").Groups); diff != "" {
		t.Error(diff)
	}
	if !inv.Host("cmp1").In("storage", "compute") || inv.Host("cmp1").In("control", "all") {
		t.Error("cmp1 is in compute and nowhere near control")
	}
	if got := inv.Group("nothing"); got != nil {
		t.Errorf("an unknown group has hosts: %v", names(got))
	}
}

func TestVarFollowsPlainReferencesAndNeverGuesses(t *testing.T) {
	inv := parsed(t, sample)
	for _, tc := range []struct {
		host, name, want string
		known            bool
	}{
		{"ctl1", "ansible_port", "2222", true},
		{"ctl2", "ansible_host", "10.0.0.12", true},
		{"ctl2", "inventory_hostname", "ctl2", true},
		{"cmp1", "ansible_host", "", false},
		{"cmp1", "pw", "", false},
		{"cmp1", "absent", "", false},
	} {
		got, known := inv.Host(tc.host).Var(tc.name)
		if known != tc.known || known && got != tc.want {
			t.Errorf("%s.%s = %q, %v; want %q, %v", tc.host, tc.name, got, known, tc.want, tc.known)
		}
	}
}

func TestVarEndsInACircle(t *testing.T) {
	h := &Host{Name: "h", Vars: map[string]any{"a": "{{ b }}", "b": "{{ a }}"}}
	if got, known := h.Var("a"); known {
		t.Errorf("a circle gave %q", got)
	}
}

func TestConnectionReadsWhatAnsibleReads(t *testing.T) {
	h := &Host{Name: "ctl1", Vars: map[string]any{
		"ansible_ssh_host": "2001:db8::1", "ansible_port": 2222.0, "ansible_user": "kolla",
		"ansible_ssh_private_key_file": "/root/.ssh/kolla",
		"ansible_ssh_common_args":      `-o ProxyCommand="ssh -W %h:%p 'jump host'"`,
		"ansible_ssh_extra_args":       "-o StrictHostKeyChecking=yes",
	}}
	want := Connection{
		Address: "2001:db8::1", Port: 2222, User: "kolla", Key: "/root/.ssh/kolla", Sudo: true,
		Args: []string{"-o", "ProxyCommand=ssh -W %h:%p 'jump host'", "-o", "StrictHostKeyChecking=yes"},
	}
	got, err := h.Connection()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Where() != "[2001:db8::1]:2222" {
		t.Errorf("Where = %s", got.Where())
	}
}

func TestConnectionBecomesRootAsKollaDoes(t *testing.T) {
	for _, tc := range []struct {
		name string
		vars map[string]any
		sudo bool
	}{
		{"a login that is not root needs it", map[string]any{"ansible_user": "kolla"}, true},
		{"root does not", map[string]any{"ansible_user": "root"}, false},
		{"the inventory forbids it", map[string]any{"ansible_user": "kolla", "ansible_become": false}, false},
		{"the inventory asks for it", map[string]any{"ansible_user": "root", "ansible_become": "yes"}, true},
		{"local too", map[string]any{"ansible_connection": "local", "ansible_become": true}, true},
	} {
		got, err := (&Host{Name: "h", Vars: tc.vars}).Connection()
		if err != nil || got.Sudo != tc.sudo {
			t.Errorf("%s: sudo = %v, %v", tc.name, got.Sudo, err)
		}
	}
}

func TestConnectionRefusesWhatItCannotDo(t *testing.T) {
	for _, vars := range []map[string]any{
		{"ansible_connection": "winrm"},
		{"ansible_port": "many"},
		{"ansible_host": "{{ lookup('env', 'X') }}"},
		{"ansible_become_user": "kolla"},
		{"ansible_ssh_common_args": "-o 'open"},
		{"ansible_user": map[string]any{"__ansible_vault": "x"}},
	} {
		if c, err := (&Host{Name: "h", Vars: vars}).Connection(); err == nil {
			t.Errorf("%v gave %+v", vars, c)
		}
	}
}

func TestShardsPartTheMariaDBGroup(t *testing.T) {
	shards, err := parsed(t, sample).Shards()
	if err != nil {
		t.Fatal(err)
	}
	if len(shards) != 2 || shards[0].ID != 0 || shards[1].ID != 1 {
		t.Fatalf("shards = %+v", shards)
	}
	if diff := cmp.Diff([]string{"ctl2"}, names(shards[0].Hosts)); diff != "" {
		t.Error(diff)
	}
}

func TestShardsRefuseTwoMembersAtOneAddress(t *testing.T) {
	_, err := parsed(t, `{"_meta": {"hostvars": {"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.1"}}},
		"mariadb": {"hosts": ["a", "b"]}}`).Shards()
	if err == nil {
		t.Fatal("one machine counted twice")
	}
	_, err = parsed(t, `{"_meta": {"hostvars": {"a": {"mariadb_shard_id": "x"}}}, "mariadb": {"hosts": ["a"]}}`).Shards()
	if err == nil {
		t.Fatal("a shard called x")
	}
}

func TestShellWords(t *testing.T) {
	for text, want := range map[string][]string{
		``:                         nil,
		`  a  b `:                  {"a", "b"},
		`-o ProxyJump="a b"`:       {"-o", "ProxyJump=a b"},
		`'it''s' a\ b`:             {"its", "a b"},
		`"a\"b\c" ''`:              {`a"b\c`, ""},
		"a'\\'b":                   {`a\b`},
		`-o "X=$HOME" '${y}' 100%`: {"-o", "X=$HOME", "${y}", "100%"},
	} {
		got, err := shellWords(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"all": {"children": ["all"]}}`))
	f.Add([]byte(`{"_meta": null, "x": null}`))
	f.Fuzz(func(t *testing.T, list []byte) {
		inv, err := Parse(list)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, h := range inv.Hosts {
			if seen[h.Name] {
				t.Fatalf("host %q twice", h.Name)
			}
			seen[h.Name] = true
			if _, err := h.Connection(); err == nil && inv.Host(h.Name) != h {
				t.Fatalf("host %q is not found by its name", h.Name)
			}
		}
		_, _ = inv.Shards()
	})
}

func FuzzShellWords(f *testing.F) {
	f.Add(`-o ProxyCommand="ssh -W %h:%p 'jump host'"`)
	f.Fuzz(func(t *testing.T, text string) {
		if words, err := shellWords(text); err != nil && words != nil {
			t.Fatalf("words %q beside %v", words, err)
		}
	})
}

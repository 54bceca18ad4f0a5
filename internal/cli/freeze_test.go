package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/config"
	"holdfast/internal/inventory"
)

const computes = `{"_meta": {"hostvars": {"cmp1": {}, "cmp2.example.org": {}, "ctl1": {}}},
	"compute": {"hosts": ["cmp1", "cmp2.example.org"]}, "control": {"hosts": ["ctl1"]}}`

func TestComputesAsNovaCallsThem(t *testing.T) {
	inv, err := inventory.Parse([]byte(computes))
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{inv: inv}
	for name, want := range map[string]string{
		"cmp1": "cmp1", "cmp1.example.org": "cmp1", "cmp2": "cmp2.example.org", "cmp2.other": "cmp2.example.org", "ctl1": "ctl1", "ctl1.example.org": "", "cmp": "",
	} {
		got := ""
		if h := c.compute(name); h != nil {
			got = h.Name
		}
		if got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestHowVirshIsCalled(t *testing.T) {
	inv, err := inventory.Parse([]byte(computes))
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{inv: inv, globals: &inventory.Globals{}}
	for _, tc := range []struct {
		freeze config.Freeze
		want   []string
	}{
		{config.Freeze{Run: "container", Container: "nova_libvirt", Virsh: "virsh"}, []string{"docker", "exec", "nova_libvirt", "virsh"}},
		{config.Freeze{Run: "container", Container: "libvirt", Engine: "podman", Virsh: "/bin/virsh"}, []string{"podman", "exec", "libvirt", "/bin/virsh"}},
		{config.Freeze{Run: "host", Container: "nova_libvirt", Virsh: "virsh"}, []string{"virsh"}},
	} {
		got, err := c.libvirt(inv.Host("cmp1"), tc.freeze)
		if err != nil || got.Host == nil {
			t.Fatalf("%+v: %v", tc.freeze, err)
		}
		if diff := cmp.Diff(tc.want, got.Virsh); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc.freeze, diff)
		}
	}
}

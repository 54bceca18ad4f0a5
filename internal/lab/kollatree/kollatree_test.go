package kollatree

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	yamlv3 "go.yaml.in/yaml/v3"
)

// written writes a deployment of six hosts and two shards into a temporary directory.
func written(t *testing.T) (dir string, tree Tree) {
	t.Helper()
	dir = t.TempDir()
	host := func(name string, port int, vars map[string]string, groups ...string) HostSpec {
		return HostSpec{
			Name: name, Addr: "127.0.0.1", Port: port, User: "root", KeyFile: dir + "/key", Groups: groups, Vars: vars,
			SSHArgs:  "-o UserKnownHostsFile=" + dir + "/known -o StrictHostKeyChecking=yes",
			EtcKolla: dir + "/hosts/" + name + "/etc/kolla", VolumesDir: dir + "/hosts/" + name + "/volumes",
		}
	}
	shard := func(id, port string) map[string]string {
		return map[string]string{"mariadb_shard_id": id, "mariadb_port": port}
	}
	s := Spec{
		Cloud: "test", FSID: "11111111-2222-4333-8444-555555555555",
		Passwords: map[string]string{"database_password": "forced"}, Globals: map[string]string{"mariadb_port": "3307"},
		Hosts: []HostSpec{
			host("ctl1", 2201, shard("0", "3301"), "control", "mariadb"),
			host("ctl2", 2202, shard("0", "3302"), "control", "mariadb"),
			host("cmp1", 2203, nil, "compute"),
			host("cmp2", 2204, nil, "compute"),
			host("sto1", 2205, nil, "storage"),
			host("net1", 2206, nil, "network"),
			host("sh1a", 2207, shard("1", "3303"), "mariadb"),
		},
	}
	s.Hosts[2].ComputeID = "99999999-2222-4333-8444-555555555555"
	s.Hosts[0].Files = map[string]string{"mariadb/galera.cnf": "[mysqld]\nport=3301\n"}
	tree, err := Write(dir, s)
	if err != nil {
		t.Fatal(err)
	}
	return dir, tree
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestInventoryReadsBackThroughAnsible(t *testing.T) {
	dir, tree := written(t)
	cmd := exec.Command("ansible-inventory", "-i", tree.Inventory, "--list")
	cmd.Env = append(os.Environ(), "ANSIBLE_LOCAL_TEMP="+dir+"/ansible")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ansible-inventory: %v", err)
	}
	var list map[string]json.RawMessage
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	var meta struct{ Hostvars map[string]map[string]any }
	if err := json.Unmarshal(list["_meta"], &meta); err != nil {
		t.Fatal(err)
	}
	for group, want := range map[string][]string{
		"control": {"ctl1", "ctl2"}, "compute": {"cmp1", "cmp2"}, "storage": {"sto1"}, "network": {"net1"},
		"mariadb": {"ctl1", "ctl2", "sh1a"}, "glance-api": {"ctl1", "ctl2"}, "cinder-volume": {"sto1"}, "openvswitch": {"cmp1", "cmp2", "net1"},
		"deployment": {"localhost"},
	} {
		if diff := cmp.Diff(want, members(t, list, group)); diff != "" {
			t.Errorf("group %s (-want +got):\n%s", group, diff)
		}
	}
	for host, want := range map[string]map[string]any{
		"ctl1": {"ansible_port": 2201.0, "mariadb_shard_id": 0.0, "mariadb_port": 3301.0, "keepalived_virtual_router_id": 51.0},
		"cmp2": {"ansible_port": "2204", "ansible_user": "root", "lab_cloud": "test"},
		"sh1a": {"mariadb_shard_id": "1", "ansible_host": "127.0.0.1"},
	} {
		for k, v := range want {
			if got := meta.Hostvars[host][k]; got != v {
				t.Errorf("%s: %s = %v (%T), want %v", host, k, got, got, v)
			}
		}
		args := "-o UserKnownHostsFile=" + dir + "/known -o StrictHostKeyChecking=yes"
		if got := meta.Hostvars[host]["ansible_ssh_common_args"]; got != args {
			t.Errorf("%s: ssh arguments %q, want %q", host, got, args)
		}
	}
	if !strings.Contains(read(t, tree.Inventory), "cmp[1:2]") {
		t.Error("the inventory uses no range")
	}
}

// members resolves a group's hosts, those of its children included.
func members(t *testing.T, list map[string]json.RawMessage, group string) []string {
	t.Helper()
	var g struct{ Hosts, Children []string }
	if err := json.Unmarshal(list[group], &g); err != nil {
		t.Fatalf("group %s: %v", group, err)
	}
	for _, child := range g.Children {
		if list[child] != nil {
			g.Hosts = append(g.Hosts, members(t, list, child)...)
		}
	}
	slices.Sort(g.Hosts)
	return slices.Compact(g.Hosts)
}

func TestPasswordsAreYAMLWithRealKeys(t *testing.T) {
	dir, tree := written(t)
	var got map[string]any
	if err := yamlv3.Unmarshal([]byte(read(t, dir+"/deploy/kolla/passwords.yml")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) < 60 {
		t.Errorf("%d keys, want at least 60", len(got))
	}
	if got["database_password"] != "forced" || tree.Passwords["database_password"] != "forced" {
		t.Errorf("database_password is %v, want the given one", got["database_password"])
	}
	if v, ok := got["docker_registry_password"]; !ok || v != nil {
		t.Errorf("docker_registry_password is %v, want it there and empty", v)
	}
	pair, ok := got["nova_ssh_key"].(map[string]any)
	if !ok {
		t.Fatalf("nova_ssh_key is a %T", got["nova_ssh_key"])
	}
	signer, err := ssh.ParsePrivateKey([]byte(pair["private_key"].(string)))
	if err != nil {
		t.Fatal(err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pair["public_key"].(string)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(public.Marshal(), signer.PublicKey().Marshal()); diff != "" {
		t.Error("nova_ssh_key is no pair")
	}
	_, again := written(t)
	if again.Passwords["keystone_admin_password"] == tree.Passwords["keystone_admin_password"] {
		t.Error("two runs drew the same password")
	}
}

func TestGlobalsAreYAML(t *testing.T) {
	dir, _ := written(t)
	files, err := filepath.Glob(dir + "/deploy/kolla/globals.d/*.yml")
	if err != nil || len(files) != 3 {
		t.Fatalf("globals.d holds %v, %v", files, err)
	}
	for _, f := range append(files, dir+"/deploy/kolla/globals.yml") {
		var got map[string]any
		if err := yamlv3.Unmarshal([]byte(read(t, f)), &got); err != nil || len(got) == 0 {
			t.Errorf("%s: %d settings, %v", f, len(got), err)
		}
	}
}

func TestCertificatesChainToTheRoot(t *testing.T) {
	dir, tree := written(t)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(read(t, tree.RootCA))) {
		t.Fatal("no root certificate")
	}
	for file, name := range map[string]string{
		"haproxy.pem": "public.example.org", "haproxy-internal.pem": "internal.example.org", "backend-cert.pem": "backend.example.org",
		"private/libvirt/libvirt.crt": "libvirt.example.org",
	} {
		block, _ := pem.Decode([]byte(read(t, dir+"/deploy/kolla/certificates/"+file)))
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: time.Now()}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestHostsHoldWhatTheirGroupsRun(t *testing.T) {
	dir, tree := written(t)
	ctl, cmp1 := dir+"/hosts/ctl1", dir+"/hosts/cmp1"
	if got := read(t, ctl+"/etc/kolla/mariadb/galera.cnf"); got != "[mysqld]\nport=3301\n" {
		t.Errorf("galera.cnf is %q, want the given content", got)
	}
	if got := read(t, ctl+"/etc/kolla/nova-api/nova.conf"); !strings.Contains(got, tree.Passwords["nova_database_password"]) {
		t.Error("nova.conf holds another password than passwords.yml")
	}
	if got := read(t, cmp1+"/volumes/nova_compute/_data/compute_id"); got != "99999999-2222-4333-8444-555555555555" {
		t.Errorf("compute_id is %q", got)
	}
	secret := cmp1 + "/etc/kolla/nova-libvirt/secrets/" + tree.Passwords["cinder_rbd_secret_uuid"]
	if read(t, secret+".xml") == "" || read(t, secret+".base64") == "" {
		t.Error("libvirt's secret is empty")
	}
	key := ctl + "/volumes/keystone_fernet_tokens/_data/0"
	if a, b := read(t, key), read(t, dir+"/hosts/ctl2/volumes/keystone_fernet_tokens/_data/0"); a != b {
		t.Error("control hosts have different token keys")
	}
	checkOwner(t, key, 0o600, keystone)
	checkOwner(t, ctl+"/etc/kolla/nova-api/nova.conf", 0o660, root)
	if _, err := os.Stat(cmp1 + "/etc/kolla/keystone"); err == nil {
		t.Error("a compute host runs keystone")
	}
}

func checkOwner(t *testing.T, path string, mode fs.FileMode, owner uint32) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	if got := fs.FileMode(st.Mode & 0o777); got != mode {
		t.Errorf("%s has mode %o, want %o", path, got, mode)
	}
	if os.Geteuid() == 0 && st.Uid != owner {
		t.Errorf("%s belongs to %d, want %d", path, st.Uid, owner)
	}
}

func TestOddFilesAreThere(t *testing.T) {
	dir, tree := written(t)
	for _, path := range append(slices.Clone(tree.Odd), tree.Ignored...) {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
	odd := dir + "/hosts/ctl1/etc/kolla/horizon/custom"
	var one, two, sparse unix.Stat_t
	for path, st := range map[string]*unix.Stat_t{"one": &one, "two": &two, "sparse": &sparse} {
		if err := unix.Lstat(odd+"/"+path, st); err != nil {
			t.Fatal(err)
		}
	}
	if one.Ino != two.Ino || one.Nlink != 2 {
		t.Error("the hard link is none")
	}
	if sparse.Size != 64<<20 || sparse.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file has %d bytes in %d blocks", sparse.Size, sparse.Blocks)
	}
	if slices.Contains(tree.Lacking, "set extended attribute") {
		return // said by the tree itself
	}
	value := make([]byte, 16)
	n, err := unix.Lgetxattr(odd+"/attributes", "user.origin", value)
	if err != nil || string(value[:n]) != "lab\x00\xff" {
		t.Errorf("user.origin is %q, %v", value[:max(n, 0)], err)
	}
	n, err = unix.Lgetxattr(odd+"/acl", "system.posix_acl_access", make([]byte, 100))
	if err != nil || n != 4+5*8 {
		t.Errorf("the ACL has %d bytes, %v", n, err)
	}
	kinds := map[fs.FileMode]int{}
	for _, path := range tree.Ignored {
		if st, err := os.Lstat(path); err == nil {
			kinds[st.Mode().Type()]++
		}
	}
	if kinds[fs.ModeSocket] == 0 || kinds[0] == 0 {
		t.Errorf("ignored kinds: %v, want sockets and files", kinds)
	}
}

func TestRanges(t *testing.T) {
	got := ranges([]string{"cmp1", "cmp2", "cmp3", "gpu9", "gpu10", "a01", "a02", "net1", "sto"})
	want := []string{"cmp[1:3]", "gpu[9:10]", "a0[1:2]", "net1", "sto"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteReportsWhatItCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(file, Spec{}); err == nil {
		t.Error("no error for a directory that is a file")
	}
}

package inventory

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

const multinode = `[control]
ctl[1:3] ansible_user=kolla

[compute]
cmp1 ansible_host=10.0.0.5
[deployment]
localhost ansible_connection=local
[baremetal:children]
control
compute
[mariadb:children]
control
`

// files writes a directory of text files by name.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// vaulted encrypts text with the real ansible-vault.
func vaulted(t *testing.T, password, text string) string {
	t.Helper()
	key := filepath.Join(files(t, map[string]string{"key": password}), "key")
	cmd := exec.Command("ansible-vault", "encrypt", "--vault-password-file", key, "--output", "-")
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader(text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ansible-vault: %v\n%s", err, &stderr)
	}
	return string(out)
}

func TestLoadExpandsWhatAnsibleExpands(t *testing.T) {
	dir := files(t, map[string]string{
		"multinode":             multinode,
		"group_vars/control":    "ansible_port: 2222\n",
		"host_vars/ctl2.yml":    "ansible_host: '{{ api }}'\napi: 2001:db8::2\nmariadb_shard_id: 3\n",
		"group_vars/all/in.yml": "inline: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3030\n",
	})
	inv, err := Load(context.Background(), host.Local{}, Options{Paths: []string{filepath.Join(dir, "multinode")}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ctl1", "ctl2", "ctl3"}, names(inv.Group("mariadb"))); diff != "" {
		t.Error(diff)
	}
	c, err := inv.Host("ctl2").Connection()
	if err != nil || c.Where() != "[2001:db8::2]:2222" || c.User != "kolla" || !c.Sudo {
		t.Errorf("ctl2 is reached as %+v, %v", c, err)
	}
	h, err := inv.Host("localhost").Connect()
	if err != nil || h != (host.Local{}) {
		t.Errorf("localhost is %v, %v", h, err)
	}
	if _, known := inv.Host("ctl1").Var("inline"); known {
		t.Error("an encrypted value is known")
	}
	if len(inv.Notes) > 0 {
		t.Errorf("notes: %v", inv.Notes)
	}
}

func TestLoadLeavesOutWhatOnlyAVaultPasswordOpens(t *testing.T) {
	dir := files(t, map[string]string{
		"inv/multinode":                multinode,
		"inv/group_vars/all/vault.yml": vaulted(t, "opensesame", "hidden: treasure\n"),
		"inv/group_vars/all/main.yml":  "plain: here\n",
	})
	for _, path := range []string{"inv/multinode", "inv"} {
		inv, err := Load(context.Background(), host.Local{}, Options{Paths: []string{filepath.Join(dir, path)}})
		if err != nil {
			t.Fatal(err)
		}
		if plain, _ := inv.Host("ctl1").Var("plain"); plain != "here" {
			t.Errorf("%s: plain variables are lost: %v", path, inv.Host("ctl1").Vars)
		}
		if len(inv.Notes) != 1 || !strings.Contains(inv.Notes[0], "group_vars/all/vault.yml") {
			t.Errorf("%s: notes: %q", path, inv.Notes)
		}
		o := Options{Paths: []string{filepath.Join(dir, path)}, VaultPassword: secret.New("opensesame")}
		if inv, err = Load(context.Background(), host.Local{}, o); err != nil {
			t.Fatal(err)
		}
		if hidden, _ := inv.Host("ctl1").Var("hidden"); hidden != "treasure" || len(inv.Notes) > 0 {
			t.Errorf("%s: the password opened nothing: %q, notes %q", path, hidden, inv.Notes)
		}
	}
	wrong := Options{Paths: []string{filepath.Join(dir, "inv")}, VaultPassword: secret.New("opensesamE")}
	_, err := Load(context.Background(), host.Local{}, wrong)
	if !strings.Contains(problem.HintOf(err), "kolla.vault_password") {
		t.Errorf("a wrong password: %v, hint %q", err, problem.HintOf(err))
	}
}

func TestLoadRefusesWhatIsNoInventory(t *testing.T) {
	dir := files(t, map[string]string{"good": multinode, "broken": "[[\n", "empty": "# nobody\n"})
	long := filepath.Join(dir, strings.Repeat("a very long name that Ansible folds ", 5))
	for name, paths := range map[string][]string{
		"no path":               nil,
		"not there":             {filepath.Join(dir, "nowhere")},
		"not there, long":       {long},
		"broken":                {filepath.Join(dir, "broken")},
		"one of two not there":  {filepath.Join(dir, "good"), filepath.Join(dir, "nowhere")},
		"no hosts":              {filepath.Join(dir, "empty")},
		"no directory above it": {filepath.Join(dir, "a", "b")},
	} {
		inv, err := Load(context.Background(), host.Local{}, Options{Paths: paths})
		var p *problem.Error
		if !errors.As(err, &p) || p.Kind != problem.Usage || problem.HintOf(err) == "" {
			t.Errorf("%s: %v, %v, hint %q", name, inv, err, problem.HintOf(err))
		}
	}
}

func TestLoadSaysThatAnsibleIsMissing(t *testing.T) {
	dir := files(t, map[string]string{"multinode": multinode})
	bin := t.TempDir()
	for _, tool := range []string{"sh", "env", "setsid", "timeout", "dd", "rm", "tr", "sleep", "cat"} {
		if path, err := exec.LookPath(tool); err != nil || os.Symlink(path, filepath.Join(bin, tool)) != nil {
			t.Fatalf("link %s: %v", tool, err)
		}
	}
	t.Setenv("PATH", bin)
	_, err := Load(context.Background(), host.Local{}, Options{Paths: []string{filepath.Join(dir, "multinode")}})
	if !strings.Contains(problem.HintOf(err), "apt install ansible-core") {
		t.Errorf("%v, hint %q", err, problem.HintOf(err))
	}
}

// TestLoadThatIsStopped is no fault of the inventory.
func TestLoadThatIsStopped(t *testing.T) {
	dir := files(t, map[string]string{"hosts": multinode})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, host.Local{}, Options{Paths: []string{filepath.Join(dir, "hosts")}}); problem.KindOf(err) != problem.Interrupted {
		t.Errorf("told as %v", err)
	}
}

func TestGlobalsMergeByName(t *testing.T) {
	dir := files(t, map[string]string{
		"globals.yml": "kolla_container_engine: docker\nnode_config: /srv/kolla\nnode_custom_config: '{{ node_config }}/custom'\n" +
			"enable_octavia: yes\nenable_heat: \"no\"\nopenstack_release: \"2025.1\"\nport: 80\nlist: [a]\n",
		"globals.d/20-b.yml":  "kolla_container_engine: podman\nkolla_internal_vip_address: \"{{ lookup('env', 'VIP') }}\"\n",
		"globals.d/10-a.yml":  "kolla_container_engine: other\nenable_barbican: true\nnode_config_directory: '{{ CONFIG_DIR }}/nodes'\n",
		"globals.d/notes.txt": "not: read\n",
	})
	g, err := LoadGlobals(context.Background(), host.Local{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		g.Engine(): "podman", g.Volumes(): "/var/lib/containers/storage/volumes", g.Release(): "2025.1", g.VIP(): "",
		g.NodeConfig(): dir + "/nodes", g.CustomConfig(dir): "/srv/kolla/custom",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if diff := cmp.Diff([]string{"barbican", "octavia"}, g.Enabled()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"kolla_internal_vip_address"}, g.Unresolved()); diff != "" {
		t.Error(diff)
	}
	if len(g.Files) != 3 {
		t.Errorf("read %v", g.Files)
	}
}

func TestGlobalsSayWhatIsWrong(t *testing.T) {
	for name, dir := range map[string]string{
		"absent":    t.TempDir(),
		"broken":    files(t, map[string]string{"globals.yml": "a: [\n"}),
		"encrypted": files(t, map[string]string{"globals.yml": "$ANSIBLE_VAULT;1.1;AES256\n3030\n"}),
	} {
		if g, err := LoadGlobals(context.Background(), host.Local{}, dir); problem.HintOf(err) == "" {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
}

func TestPasswordsOfEveryKind(t *testing.T) {
	const clear = "database_password: s3cret\nport_password: 123\nkolla_ssh_key: {private_key: x}\nempty: ''\ntpl: '{{ other }}'\n"
	inline := strings.ReplaceAll(vaulted(t, "opensesame", "hidden one"), "\n", "\n  ")
	plain := files(t, map[string]string{"passwords.yml": clear + "inlined: !vault |\n  " + inline})
	whole := files(t, map[string]string{"passwords.yml": vaulted(t, "opensesame", clear)})
	key, none := secret.New("opensesame"), secret.Secret{}
	for _, tc := range []struct {
		name, dir, key string
		vault          secret.Secret
		want, hint     string
	}{
		{name: "plain", dir: plain, key: "database_password", want: "s3cret"},
		{name: "a number", dir: plain, key: "port_password", want: "123"},
		{name: "a value encrypted alone", dir: plain, key: "inlined", vault: key, want: "hidden one"},
		{name: "the file encrypted", dir: whole, key: "database_password", vault: key, want: "s3cret"},
		{name: "no password for it", dir: whole, key: "database_password", vault: none, hint: "kolla.vault_password"},
		{name: "a wrong password", dir: whole, key: "database_password", vault: secret.New("x"), hint: "kolla.vault_password"},
		{name: "no such key", dir: plain, key: "nothing", hint: "password.file"},
		{name: "an empty value", dir: plain, key: "empty", hint: "password.file"},
		{name: "a map", dir: plain, key: "kolla_ssh_key", hint: "plain value"},
		{name: "a template", dir: plain, key: "tpl", hint: "password.file"},
		{name: "no file", dir: t.TempDir(), key: "database_password", hint: "kolla-readpwd"},
	} {
		got, err := NewPasswords(host.Local{}, tc.dir, tc.vault).Password(context.Background(), tc.key)
		if got.Reveal() != tc.want || !strings.Contains(problem.HintOf(err), tc.hint) || (err != nil) != (tc.hint != "") {
			t.Errorf("%s: %q, %v, hint %q", tc.name, got.Reveal(), err, problem.HintOf(err))
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error tells a secret: %v", tc.name, err)
		}
	}
}

func TestPasswordsNameTheirKeysOnly(t *testing.T) {
	plain := files(t, map[string]string{"passwords.yml": "b: 1\na: 2\n"})
	whole := files(t, map[string]string{"passwords.yml": "$ANSIBLE_VAULT;1.1;AES256\n3030\n"})
	for dir, want := range map[string]PasswordsState{plain: PlainPasswords, whole: EncryptedPasswords, t.TempDir(): AbsentPasswords} {
		state, keys, err := NewPasswords(host.Local{}, dir, secret.Secret{}).Keys(context.Background())
		if err != nil || state != want {
			t.Errorf("%s: %v, %v", want, state, err)
		}
		if diff := cmp.Diff([]string{"a", "b"}, keys); (diff == "") != (want == PlainPasswords) {
			t.Errorf("%s: keys %v", want, keys)
		}
	}
}

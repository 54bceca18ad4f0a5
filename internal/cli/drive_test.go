package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/config"
	"holdfast/internal/host"
	"holdfast/internal/inventory"
	"holdfast/internal/source"
)

// kollaCloud is a cloud whose only database node is this machine, with Kolla's configuration in a directory.
func kollaCloud(t *testing.T) (c *cloud, nodeConfig string) {
	t.Helper()
	dir := t.TempDir()
	nodeConfig = filepath.Join(dir, "node config")
	inv, err := inventory.Parse([]byte(`{"_meta": {"hostvars": {"ctl1": {"ansible_connection": "local"}}}, "mariadb": {"hosts": ["ctl1"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	writeTest(t, filepath.Join(dir, "globals.yml"), "node_config_directory: '"+nodeConfig+"'\n")
	globals, err := inventory.LoadGlobals(t.Context(), host.Local{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{File: "holdfast.yml", MariaDB: &config.MariaDB{
		Run: "container", Container: "mariadb", Control: config.Control{Kind: "kolla", KollaAnsible: filepath.Join(dir, "kolla-ansible")},
	}}
	return &cloud{cfg: cfg, inv: inv, globals: globals}, nodeConfig
}

func writeTest(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestDoctorLooksForKollaAnsible(t *testing.T) {
	c, _ := kollaCloud(t)
	if got := c.checkControl(t.Context())[0]; got.Status != source.Warn || !strings.Contains(got.Detail, "empty gcomm://") || got.Mend == "" {
		t.Errorf("without kolla-ansible: %+v", got)
	}
	writeTest(t, c.cfg.MariaDB.Control.KollaAnsible, "#!/bin/sh\n")
	if got := c.checkControl(t.Context())[0]; got.Status != source.OK || !strings.Contains(got.Detail, "mariadb-recovery") {
		t.Errorf("with kolla-ansible: %+v", got)
	}
	c.cfg.MariaDB.Control = config.Control{Kind: "command"}
	if got := c.checkControl(t.Context()); len(got) != 1 || got[0].Status != source.OK {
		t.Errorf("with commands: %+v", got)
	}
}

// TestDoctorFindsACutBootstrap: what it tells to type is typed, and then all is well.
func TestDoctorFindsACutBootstrap(t *testing.T) {
	const whole = "wsrep_cluster_address = gcomm://10.0.0.1:4567\n"
	c, dir := kollaCloud(t)
	cnf := filepath.Join(dir, "mariadb/galera.cnf")
	writeTest(t, cnf, "wsrep_cluster_address = gcomm://\n")
	writeTest(t, cnf+".holdfast-kept", whole)
	found := c.checkControl(t.Context())
	if len(found) != 2 || found[1].Status != source.Fail || found[1].Name != "ctl1: galera.cnf" {
		t.Fatalf("found %+v", found)
	}
	_, command, _ := strings.Cut(found[1].Mend, "ctl1: ")
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	if text, err := os.ReadFile(cnf); err != nil || string(text) != whole {
		t.Errorf("after the mend galera.cnf is %q, %v", text, err)
	}
	if found = c.checkControl(t.Context()); len(found) != 2 || found[1].Status != source.OK || !strings.Contains(found[1].Detail, "ctl1") {
		t.Errorf("after the mend: %+v", found)
	}
}

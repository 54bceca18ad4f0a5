package daemon_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestAnsibleUnderTheUnits: its tools make a directory in the home, where the units let nobody write.
func TestAnsibleUnderTheUnits(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"hosts": inventory, "home/x": ""} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const script = `mount --bind "$1/home" "$1/home"; mount -o remount,bind,ro "$1/home"; exec ansible-inventory -i "$1/hosts" --list`
	for _, unit := range []string{"holdfast.service", "holdfast-run@.service"} {
		text, err := os.ReadFile("../../packaging/systemd/" + unit)
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-euc", script, "sh", dir)
		c.Env = append(os.Environ(), "HOME="+dir+"/home", "LC_ALL=C.UTF-8")
		for _, m := range regexp.MustCompile(`(?m)^Environment=(.*)$`).FindAllStringSubmatch(string(text), -1) {
			c.Env = append(c.Env, m[1])
		}
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

package cli

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"holdfast/internal/config"
	"holdfast/internal/source"
)

// checkSetup looks at this host: who runs, which tools there are, and whether secrets and state are where they can be
// used and by nobody else.
func checkSetup(cfg *config.Config) []source.Check {
	checks := []source.Check{checkUser(os.Geteuid())}
	for _, t := range []struct{ name, mend string }{
		{"ssh", "apt-get install openssh-client"},
		{"ansible-inventory", "apt-get install ansible-core"},
	} {
		checks = append(checks, checkTool(t.name, t.mend))
	}
	checks = append(checks, checkState(cfg.State))
	for _, s := range secretFiles(cfg) {
		checks = append(checks, checkSecretFile(s))
	}
	return checks
}

func checkUser(uid int) source.Check {
	if uid == 0 {
		return passed("user", "root, so that restored files keep their owners")
	}
	return source.Check{
		Name: "user", Status: source.Warn, Detail: fmt.Sprintf("uid %d is not root: restored files cannot keep their owners", uid),
		Mend: "run Holdfast as root",
	}
}

func checkTool(name, mend string) source.Check {
	path, err := exec.LookPath(name)
	if err != nil {
		return source.Check{Name: name, Status: source.Fail, Detail: "not found in PATH", Mend: mend}
	}
	return passed(name, "%s", path)
}

// checkState finds out whether the state directory, or what it will be made in, can be written to.
func checkState(dir string) source.Check {
	place := dir
	for {
		st, err := os.Stat(place)
		switch {
		case err == nil && !st.IsDir():
			return source.Check{Name: "state", Status: source.Fail, Detail: place + " is not a directory", Mend: "set state: in holdfast.yml to a directory"}
		case err == nil:
			return writable(dir, place)
		case place == filepath.Dir(place):
			return failed("state", err)
		}
		place = filepath.Dir(place)
	}
}

func writable(dir, place string) source.Check {
	f, err := os.CreateTemp(place, ".holdfast-doctor-*")
	if err != nil {
		return source.Check{Name: "state", Status: source.Fail, Detail: err.Error(), Mend: "make " + dir + " writable, or set state: in holdfast.yml"}
	}
	f.Close()
	os.Remove(f.Name())
	return passed("state", "%s can be written to", dir)
}

// secretFiles are the files that the configuration keeps secrets in.
func secretFiles(cfg *config.Config) []string {
	refs := []config.SecretRef{cfg.Kolla.VaultPassword}
	for _, t := range cfg.Tiers {
		refs = append(refs, t.Passphrase)
		if t.S3 != nil {
			refs = append(refs, t.S3.AccessKey, t.S3.SecretKey, t.S3.Token)
		}
	}
	if m := cfg.MariaDB; m != nil {
		refs = append(refs, m.Password, m.Admin.Password)
		for _, s := range m.Shards {
			refs = append(refs, s.Password)
		}
	}
	refs = append(refs, cfg.Notify.Secrets()...)
	var files []string
	for _, r := range refs {
		if r.File != "" {
			files = append(files, r.File)
		}
	}
	return files
}

func checkSecretFile(file string) source.Check {
	name := "secret in " + filepath.Base(file)
	st, err := os.Stat(file)
	switch {
	case err != nil:
		return source.Check{Name: name, Status: source.Fail, Detail: err.Error(), Mend: "put the secret there, or name another file in holdfast.yml"}
	case st.Mode().Perm()&0o077 != 0:
		return source.Check{
			Name: name, Status: source.Warn, Detail: fmt.Sprintf("%s can be read by others: mode %v", file, fs.FileMode(st.Mode().Perm())),
			Mend: "chmod 600 " + file,
		}
	}
	return passed(name, "%s belongs to its owner alone", file)
}

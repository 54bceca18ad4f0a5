package lab

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed files/sshd_config.tmpl
var sshdConfig string

//go:embed files/holdfast.yml.tmpl
var holdfastConfig string

//go:embed files/stand-in-virsh
var standInVirsh string

// StandInVirsh is where every compute has a program that stands in for virsh, and says so.
const StandInVirsh = "/etc/kolla/lab/stand-in-virsh"

// hostDirs are the directories that every host has for its own, below its HostDir.
var hostDirs = []string{
	"mnt", "etc/kolla/lab", "etc/mysql", "var-lib-mysql/data", "var-lib-docker", "var-lib-containers", "var-log-kolla/mariadb", "run-mysqld/tmp",
}

// writeFiles writes everything that the hosts need before they start.
func (l *Lab) writeFiles(ctx context.Context) error {
	for _, h := range l.Hosts {
		for _, d := range hostDirs {
			if err := os.MkdirAll(filepath.Join(l.HostDir(h.Name), d), 0o755); err != nil {
				return fmt.Errorf("create host %s: %w", h.Name, err)
			}
		}
	}
	for _, write := range []func(context.Context) error{
		l.writeSecrets, l.writeKeys, l.writeHostFiles, l.writeKolla, l.writeNodes, l.writeConfig,
	} {
		if err := write(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) writeSecrets(context.Context) error {
	if err := l.put("boot.sh", 0o700, bootScript); err != nil {
		return err
	}
	return l.put("secrets/passphrase", 0o600, rand.Text()+"\n")
}

// writeKeys makes the lab's own ssh keys: one for all hosts, one for the operator.
func (l *Lab) writeKeys(ctx context.Context) error {
	if err := os.MkdirAll(l.path("ssh"), 0o700); err != nil {
		return fmt.Errorf("create key directory: %w", err)
	}
	for _, name := range []string{"host_ed25519", "id_ed25519"} {
		cmd := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", l.path("ssh", name))
		if _, err := output(cmd); err != nil {
			return fmt.Errorf("make key: %w", err)
		}
	}
	public, err := os.ReadFile(l.path("ssh", "id_ed25519.pub"))
	if err != nil {
		return fmt.Errorf("read public key: %w", err)
	}
	if err := l.put("ssh/authorized_keys", 0o600, string(public)); err != nil {
		return err
	}
	hostKey, err := os.ReadFile(l.path("ssh", "host_ed25519.pub"))
	if err != nil {
		return fmt.Errorf("read host key: %w", err)
	}
	var known strings.Builder
	for _, h := range l.Hosts {
		fmt.Fprintf(&known, "[127.0.0.1]:%d %s", h.Port, hostKey)
	}
	if err := l.put("ssh/known_hosts", 0o600, known.String()); err != nil {
		return err
	}
	return l.writeSSHConfig()
}

// writeHostFiles writes each host's sshd_config and what its /etc has of its own. Its shadow file lets root in by key
// and hides the machine's; its passwd gives root a home without the machine's profile.
func (l *Lab) writeHostFiles(context.Context) error {
	passwd, err := hostPasswd()
	if err != nil {
		return err
	}
	hosts := "127.0.0.1 localhost\n"
	for _, h := range l.Hosts {
		hosts += "127.0.0.1 " + h.Name + "\n"
	}
	for _, h := range l.Hosts {
		sshd, err := render(sshdConfig, map[string]any{"Lab": l, "Host": h})
		if err != nil {
			return err
		}
		for _, f := range []struct {
			name string
			mode os.FileMode
			text string
		}{
			{"sshd_config", 0o600, sshd},
			{"etc/hosts", 0o644, hosts},
			{"etc/hostname", 0o644, h.Name + "\n"},
			{"etc/passwd", 0o644, passwd},
			{"etc/shadow", 0o600, "root:*:19000:0:99999:7:::\n"},
		} {
			if err := l.put(filepath.Join("hosts", h.Name, f.name), f.mode, f.text); err != nil {
				return err
			}
		}
		if h.Groups[0] == "compute" {
			if err := l.put(filepath.Join("hosts", h.Name, StandInVirsh), 0o755, standInVirsh); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostPasswd is the machine's list of users, with another home for root.
func hostPasswd() (string, error) {
	b, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return "", fmt.Errorf("read users: %w", err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "root:") {
			line = "root:x:0:0:root:" + hostHome + ":/bin/bash\n"
		}
		out.WriteString(line)
	}
	return out.String(), nil
}

// writeConfig writes the holdfast.yml that backs this lab up.
func (l *Lab) writeConfig(context.Context) error {
	text, err := render(holdfastConfig, l)
	if err != nil {
		return err
	}
	return l.put("holdfast.yml", 0o600, text)
}

// Config is the path of the lab's holdfast.yml.
func (l *Lab) Config() string { return l.path("holdfast.yml") }

// put writes a file below the lab's directory.
func (l *Lab) put(name string, mode os.FileMode, text string) error {
	file := l.path(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		return fmt.Errorf("write lab file: %w", err)
	}
	return os.Chmod(file, mode)
}

func render(text string, data any) (string, error) {
	t, err := template.New("").Parse(text)
	if err != nil {
		return "", fmt.Errorf("parse template: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("fill template: %w", err)
	}
	return b.String(), nil
}

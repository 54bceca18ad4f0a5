package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/internal/problem"
)

// need is one program or file that a lab uses, and the Debian package that brings it.
type need struct {
	program string // name in PATH, or an absolute path
	pkg     string
}

var (
	hostNeeds = []need{
		{"/usr/sbin/sshd", "openssh-server"}, {"ssh", "openssh-client"}, {"ssh-keygen", "openssh-client"},
		{"sudo", "sudo"}, {"nsenter", "util-linux"}, {"setsid", "util-linux"}, {"ansible-inventory", "ansible-core"},
		{"openssl", "openssl"}, {"zstd", "zstd"}, {"ps", "procps"}, {"busybox", "busybox"}, {"systemd-analyze", "systemd"},
	}
	galeraNeeds = []need{
		{"/usr/sbin/mariadbd", "mariadb-server"}, {"mariadb-install-db", "mariadb-server"}, {"mariadb", "mariadb-client"},
		{"mariadb-backup", "mariadb-backup"}, {"mbstream", "mariadb-backup"},
		{"/usr/lib/galera/libgalera_smm.so", "galera-4"}, {"rsync", "rsync"}, {"socat", "socat"}, {"ss", "iproute2"},
	}
	cephNeeds = []need{
		{"ceph-mon", "ceph-mon"}, {"ceph-mgr", "ceph-mgr"}, {"ceph-osd", "ceph-osd"}, {"radosgw", "radosgw"}, {"rbd", "ceph-common"},
		{"qemu-img", "qemu-utils"},
		{"/usr/bin/python3", "python3"}, {"/usr/share/doc/python3-rados", "python3-rados"}, {"/usr/share/doc/python3-rbd", "python3-rbd"},
	}
	openstackNeeds = []need{
		{"keystone-manage", "python3-keystone"}, {"/usr/lib/python3/dist-packages/glance", "python3-glance"},
		{"/usr/lib/python3/dist-packages/cinder", "python3-cinder"}, {"/usr/lib/python3/dist-packages/pymysql", "python3-pymysql"},
		{"qemu-img", "qemu-utils"},
	}
	containerNeeds = []need{{"/usr/sbin/dockerd", "docker.io"}, {"docker", "docker.io"}, {"containerd", "docker.io"}}
	podmanNeeds    = []need{{"podman", "podman"}, {"/usr/sbin/runc", "runc"}}
)

// Missing returns the Debian packages that this machine lacks for a lab with opts.
func Missing(opts Options) []string {
	opts = opts.implied()
	needs := hostNeeds
	if opts.Galera > 0 {
		needs = append(needs[:len(needs):len(needs)], galeraNeeds...)
	}
	if opts.Ceph {
		needs = append(needs[:len(needs):len(needs)], cephNeeds...)
	}
	if opts.OpenStack {
		needs = append(needs[:len(needs):len(needs)], openstackNeeds...)
	}
	if opts.Podman {
		needs = append(needs[:len(needs):len(needs)], podmanNeeds...)
	} else if opts.Containers {
		needs = append(needs[:len(needs):len(needs)], containerNeeds...)
	}
	var missing []string
	seen := map[string]bool{}
	for _, n := range needs {
		if !seen[n.pkg] && !present(n.program) {
			seen[n.pkg] = true
			missing = append(missing, n.pkg)
		}
	}
	return missing
}

// Watch are the pairs of what alerts are tested with.
var Watch = []string{"prometheus=prometheus", "prometheus-alertmanager=prometheus-alertmanager"}

// MissingOf returns the packages of those pairs PROGRAM=PACKAGE whose program this machine lacks.
func MissingOf(pairs []string) (missing []string) {
	for _, p := range pairs {
		if program, pkg, ok := strings.Cut(p, "="); ok && !present(program) {
			missing = append(missing, pkg)
		}
	}
	return missing
}

// present looks where root's programs are, which may not be in PATH.
func present(program string) bool {
	if _, err := os.Stat(program); strings.HasPrefix(program, "/") {
		return err == nil
	}
	if _, err := exec.LookPath(program); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if _, err := os.Stat(dir + "/" + program); err == nil {
			return true
		}
	}
	return false
}

// checkMachine says what keeps a lab with opts from coming up here.
func checkMachine(opts Options) error {
	if os.Geteuid() != 0 {
		return problem.New(problem.Usage, "run it with sudo", "a lab needs root: its hosts are namespaces with their own mounts")
	}
	if missing := Missing(opts); len(missing) > 0 {
		return problem.New(problem.Usage, "install them: lab deps --install, or apt-get install --no-install-recommends "+
			strings.Join(missing, " "), "a lab needs packages that are not installed: %s", strings.Join(missing, " "))
	}
	return nil
}

// policyFile is asked by Debian's maintainer scripts before they start a service.
const policyFile = "/usr/sbin/policy-rc.d"

// wantedServices are the links by which services start with the machine.
const wantedServices = "/etc/systemd/system/*.wants/*"

// Install installs packages with apt and keeps apt from starting any service of theirs, now and with the machine. Its talk goes to out.
func Install(ctx context.Context, packages []string, out io.Writer) error {
	restore, err := forbidServices(policyFile)
	if err != nil {
		return err
	}
	defer disableNew(wanted())
	args := append([]string{"-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends"}, packages...)
	err = apt(ctx, out, args...)
	if err != nil { // the lists may be old or absent
		if err = apt(ctx, out, "-o", "DPkg::Lock::Timeout=300", "update"); err == nil {
			err = apt(ctx, out, args...)
		}
	}
	return errors.Join(err, restore())
}

// wanted are the services that start with the machine.
func wanted() []string {
	links, _ := filepath.Glob(wantedServices) // the pattern is well formed
	return links
}

// disableNew keeps from starting with the machine what did not before.
func disableNew(before []string) {
	for _, link := range wanted() {
		if !slices.Contains(before, link) {
			os.Remove(link)
		}
	}
}

func apt(ctx context.Context, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get: %w", err)
	}
	return nil
}

// forbidServices places a policy that lets no service start, unless the machine has one of its own, and returns what
// undoes it.
func forbidServices(policy string) (undo func() error, err error) {
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("forbid service starts: %w", err)
	}
	_, err = f.WriteString("#!/bin/sh\n# Placed for the time of one installation by holdfast's lab.\nexit 101\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("forbid service starts: %w", err)
	}
	return func() error { return os.Remove(policy) }, nil
}

package host

import (
	"context"
	"strconv"
	"strings"

	"holdfast/internal/problem"
)

// SSH is a machine reached by the system's ssh, so that an operator's keys, jump hosts and known hosts just work. It
// never asks anything: an unknown host key or a passphrase is an error.
//
// Commands share a connection, which saves each of them 0.2 s of processor time at either end. A Bulk command has one of
// its own, so that streams of one host run on several cores and one cut is one failure. A shared connection ends by
// itself, seconds after its last command.
// AES-GCM is preferred, because it costs half as much as the default cipher where the processor has AES.
type SSH struct {
	Name    string   // for messages and manifests, as the inventory says it
	Addr    string   // host name or address, IPv6 without brackets; "" for Name
	Port    int      // 0 for ssh's own choice
	User    string   // "" for ssh's own choice
	KeyFile string   // "" for ssh's own choice
	Args    []string // more arguments for ssh (Ansible's ansible_ssh_common_args); they win over the defaults here
	Sudo    bool     // run everything through sudo -n
}

var _ place = SSH{}

// String returns the name.
func (s SSH) String() string { return s.Name }

// Start implements Host.
func (s SSH) Start(ctx context.Context, c Cmd) (*Process, error) { return start(ctx, s, c) }

func (s SSH) command(args []string, bulk bool) ([]string, error) {
	argv := []string{"ssh", "-T", "-o", "BatchMode=yes"}
	argv = append(argv, s.Args...)
	for _, o := range []string{"Ciphers=^aes256-gcm@openssh.com,aes128-gcm@openssh.com", "ConnectTimeout=10", "ServerAliveInterval=15", "ServerAliveCountMax=3",
		"ForwardX11=no", "ForwardAgent=no"} {
		argv = append(argv, "-o", o)
	}
	if s.Port != 0 {
		argv = append(argv, "-p", strconv.Itoa(s.Port))
	}
	if s.User != "" {
		argv = append(argv, "-l", s.User)
	}
	if s.KeyFile != "" {
		argv = append(argv, "-i", s.KeyFile)
	}
	if !bulk {
		if socket := shared(argv, s.addr()); socket != "" {
			argv = append(argv, "-o", "ControlPath="+socket)
		}
	}
	if s.Sudo {
		args = append([]string{"sudo", "-n", "--"}, args...)
	}
	return append(argv, "--", s.addr(), "exec "+quote(args)), nil
}

func (s SSH) addr() string {
	if s.Addr == "" {
		return s.Name
	}
	return strings.Trim(s.Addr, "[]")
}

// sshFailures maps what ssh and sudo say to what an operator can do about it; NAME and ADDR are filled in.
var sshFailures = []struct{ says, cause, hint string }{
	{"REMOTE HOST IDENTIFICATION HAS CHANGED", "the host key of NAME has changed",
		"if NAME was reinstalled, remove its old key with ssh-keygen -R ADDR and connect once by hand; if not, somebody is in between"},
	{"Host key verification failed", "the host key of NAME is unknown",
		"connect once by hand (ssh ADDR) and compare the fingerprint, or add the output of ssh-keyscan ADDR to known_hosts"},
	{"host key is known for", "the host key of NAME is unknown",
		"connect once by hand (ssh ADDR) and compare the fingerprint, or add the output of ssh-keyscan ADDR to known_hosts"},
	{"Permission denied", "NAME refused the key or user",
		"check user and private key of NAME in the inventory, and that the public key is in its authorized_keys"},
	{"Too many authentication failures", "NAME refused the key or user", "name the one private key for NAME in the inventory"},
	{"Connection refused", "nothing answers on the ssh port of NAME", "check that sshd runs on ADDR and that the port is right"},
	{"Could not resolve hostname", "the name ADDR does not resolve", "correct the address of NAME in the inventory, or the name service"},
	{"Connection timed out", "NAME does not answer", "check that ADDR is up and that no firewall stands between"},
	{"No route to host", "NAME does not answer", "check that ADDR is up and that no firewall stands between"},
	{"Network is unreachable", "NAME cannot be reached from here", "check this machine's network and routes to ADDR"},
	{"not responding", "the connection to NAME was lost", "check that ADDR is up and the network between, and try again"},
	{"Identity file", "the private key for NAME cannot be read", "correct the path of the private key in the inventory"},
	{"sudo: a password is required", "sudo on NAME asks for a password", "allow the ssh user of NAME to use sudo without a password"},
	{"sudo: not found", "NAME has no sudo", "install sudo on NAME, or connect as root without it"},
}

func (SSH) inherits() bool { return false }

func (s SSH) diagnose(code int, stderr string) error {
	fill := strings.NewReplacer("NAME", s.Name, "ADDR", s.addr())
	for _, f := range sshFailures {
		if strings.Contains(stderr, f.says) {
			return problem.New(problem.Failed, fill.Replace(f.hint), "%s: %s", fill.Replace(f.cause), lastLine(stderr))
		}
	}
	if code == 255 {
		return problem.New(problem.Failed, "check the network to "+s.addr()+" and try again", "the connection to %s was lost: %s", s.Name, lastLine(stderr))
	}
	return nil
}

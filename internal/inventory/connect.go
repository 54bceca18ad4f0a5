package inventory

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// Connection is how Ansible reaches a host. What the inventory leaves out is left to ssh and its configuration.
type Connection struct {
	Local   bool // the machine that Ansible itself runs on
	Address string
	Port    int    // 0: ssh's own default
	User    string // "": ssh's own default
	Key     string // private key file, "": ssh's own defaults
	Args    []string
	Sudo    bool
}

// Where names the far end for messages: "local", "ctl1", "[2001:db8::1]:2222".
func (c Connection) Where() string {
	switch {
	case c.Local:
		return "local"
	case c.Port == 0:
		return c.Address
	}
	return net.JoinHostPort(c.Address, strconv.Itoa(c.Port))
}

// Connection works out how the host is reached, from the variables that Ansible's ssh connection understands.
func (h *Host) Connection() (Connection, error) {
	c, err := h.connection()
	if err != nil {
		return c, &problem.Error{
			Kind: problem.Usage, Op: "reach", Target: h.Name, Cause: err,
			Hint: "set plain connection variables (ansible_host, ansible_port, ansible_user, ansible_ssh_private_key_file) for it in the inventory",
		}
	}
	return c, nil
}

func (h *Host) connection() (Connection, error) {
	var c Connection
	kind, err := h.first("ansible_connection")
	if err != nil {
		return c, err
	}
	switch kind {
	case "local":
		c.Local = true
	case "", "ssh", "smart", "paramiko", "ansible.builtin.ssh":
		err = h.overSSH(&c)
	default:
		err = fmt.Errorf("ansible_connection=%s is not supported, only ssh and local", kind)
	}
	if err == nil {
		err = h.becomeRoot(&c)
	}
	return c, err
}

func (h *Host) overSSH(c *Connection) error {
	var port, args string
	var err error
	set := func(to *string, names ...string) {
		if err == nil {
			*to, err = h.first(names...)
		}
	}
	set(&c.Address, "ansible_host", "ansible_ssh_host", "inventory_hostname")
	set(&port, "ansible_port", "ansible_ssh_port")
	set(&c.User, "ansible_user", "ansible_ssh_user")
	set(&c.Key, "ansible_ssh_private_key_file", "ansible_private_key_file")
	for _, name := range []string{"ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"} {
		set(&args, name)
		words, bad := shellWords(args)
		if bad != nil {
			return fmt.Errorf("variable %s of %s: %w", name, h.Name, bad)
		}
		c.Args = append(c.Args, words...)
	}
	if err == nil && port != "" {
		if c.Port, err = strconv.Atoi(port); err != nil || c.Port < 1 || c.Port > 65535 {
			err = fmt.Errorf("ansible_port is %q, not a port", port)
		}
	}
	return err
}

// becomeRoot decides on sudo. Kolla's own tasks become root one by one, so an inventory seldom says so: a login that
// is not root gets sudo unless the inventory forbids it.
func (h *Host) becomeRoot(c *Connection) error {
	user, err := h.first("ansible_become_user")
	if err == nil && user != "" && user != "root" {
		err = fmt.Errorf("ansible_become_user=%s is not supported, only root", user)
	}
	if err != nil {
		return err
	}
	if _, there := h.value("ansible_become"); there {
		text, err := h.lookup("ansible_become")
		c.Sudo = truthy(text)
		return err
	}
	c.Sudo = c.User != "root" && (c.User != "" || os.Geteuid() != 0)
	return nil
}

// Connect returns the host as a place to run commands. Nothing is connected yet.
func (h *Host) Connect() (host.Host, error) {
	c, err := h.Connection()
	if err != nil {
		return nil, err
	}
	if !c.Local {
		return host.SSH{Name: h.Name, Addr: c.Address, Port: c.Port, User: c.User, KeyFile: c.Key, Args: c.Args, Sudo: c.Sudo}, nil
	}
	if h.base == nil {
		return host.Local{}, nil
	}
	return h.base, nil
}

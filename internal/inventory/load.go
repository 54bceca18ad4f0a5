package inventory

import (
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// Options say what to load.
type Options struct {
	Paths []string // files or directories, as given to ansible -i
	// VaultPassword opens variables that ansible-vault encrypted. Without it the files that need it are left out and
	// named in the notes.
	VaultPassword secret.Secret
}

// withoutVault shows ansible-inventory the inventory without the variable files that only a vault password opens.
//
//go:embed withoutvault.sh
var withoutVault string

// Load expands the inventory with ansible-inventory on h, the host that Ansible runs on.
func Load(ctx context.Context, h host.Host, o Options) (*Inventory, error) {
	if len(o.Paths) == 0 {
		return nil, problem.New(problem.Usage, "name the file given to kolla-ansible -i", "kolla.inventory is not set")
	}
	paths, err := absolute(o.Paths)
	if err != nil {
		return nil, err
	}
	l := loader{host: h, paths: paths, vault: o.VaultPassword}
	inv, err := l.load(ctx)
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.KindOf(err), Op: "read the inventory", Target: strings.Join(paths, ", "), Cause: err, Hint: problem.HintOf(err),
		}
	}
	return inv, nil
}

// absolute makes paths independent of the directory that ansible-inventory runs in; "a,b" is a list of hosts.
func absolute(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		if !strings.Contains(p, ",") {
			abs, err := filepath.Abs(p)
			if err != nil {
				return nil, fmt.Errorf("resolve %s: %w", p, err)
			}
			p = abs
		}
		out = append(out, p)
	}
	return out, nil
}

type loader struct {
	host  host.Host
	paths []string
	vault secret.Secret
}

func (l loader) load(ctx context.Context) (*Inventory, error) {
	list, stderr, err := ansible(ctx, l.host, l.command())
	var notes []string
	if err != nil && lacksPassword(stderr) && l.vault.Empty() {
		list, stderr, err = ansible(ctx, l.host, l.plainCommand())
		notes = encryptedFiles(stderr)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err() // not Ansible's fault
	}
	if err != nil {
		return nil, l.trouble(err, stderr)
	}
	for _, p := range l.paths {
		if unparsed(stderr, p) {
			return nil, problem.New(problem.Usage, "check kolla.inventory in holdfast.yml and what ansible-inventory says of it",
				"%s is no inventory that Ansible can read", p)
		}
	}
	inv, err := Parse(list)
	if err != nil {
		return nil, err
	}
	if len(inv.Hosts) == 0 {
		return nil, problem.New(problem.Usage, "check kolla.inventory in holdfast.yml: it is the file given to kolla-ansible -i", "it has no hosts")
	}
	l.finish(inv, notes)
	return inv, nil
}

// finish ties the inventory to where it was read, and notes what looks wrong in it.
func (l loader) finish(inv *Inventory, notes []string) {
	inv.Paths, inv.base = l.paths, l.host
	inv.Notes = append(notes, sameAddress(inv.Hosts)...)
	for _, h := range inv.Hosts {
		h.base = l.host
	}
}

// command runs where the first inventory lies, so that an ansible.cfg beside it counts.
func (l loader) command() host.Cmd {
	c := host.Cmd{Args: []string{"ansible-inventory", "--list"}, Dir: l.dir(), Secret: l.vault}
	for _, p := range l.paths {
		c.Args = append(c.Args, "-i", p)
	}
	if !l.vault.Empty() {
		c.Args = append(c.Args, "--vault-password-file", host.SecretPath)
	}
	return c
}

// plainCommand is command for a view of the inventory that leaves encrypted files out.
func (l loader) plainCommand() host.Cmd {
	return host.Cmd{Args: append([]string{"sh", "-c", withoutVault, "holdfast-inventory"}, l.paths...), Dir: l.dir()}
}

func (l loader) dir() string {
	for _, p := range l.paths {
		if !strings.Contains(p, ",") {
			return filepath.Dir(p)
		}
	}
	return ""
}

func (l loader) trouble(err error, stderr string) error {
	hint := "run ansible-inventory --list on it by hand and correct what it tells"
	switch {
	case missing(err):
		hint = "install Ansible on the host that runs Holdfast: apt install ansible-core"
	case lacksPassword(stderr):
		hint = "check kolla.vault_password in holdfast.yml: it must open every encrypted file beside the inventory"
	}
	return &problem.Error{Kind: problem.Usage, Op: "run", Target: "ansible-inventory", Cause: explain(err, stderr), Hint: hint}
}

func lacksPassword(stderr string) bool {
	text := squeeze(stderr)
	return strings.Contains(text, squeeze("no vault secrets"))
}

// unparsed reports whether Ansible warned that it could not read the source at p, which it counts as success.
func unparsed(stderr, p string) bool {
	return strings.Contains(squeeze(stderr), squeeze("Unable to parse "+p+" as an inventory source"))
}

// squeeze drops the line breaks that Ansible puts into its messages, even within words.
func squeeze(text string) string { return strings.Join(strings.Fields(text), "") }

const encryptedMark = "holdfast: encrypted: "

func encryptedFiles(stderr string) []string {
	var notes []string
	for line := range strings.Lines(stderr) {
		if file, ok := strings.CutPrefix(strings.TrimSpace(line), encryptedMark); ok {
			notes = append(notes, file+" is encrypted with ansible-vault and was left out of the inventory's variables")
		}
	}
	return notes
}

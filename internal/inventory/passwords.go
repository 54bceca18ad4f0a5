package inventory

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"holdfast/internal/host"
	"holdfast/internal/problem"
	"holdfast/internal/secret"
)

// vaultHeader begins every text that ansible-vault encrypted.
const vaultHeader = "$ANSIBLE_VAULT;"

func isVault(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte(vaultHeader)) }

// PasswordsState says how the deploy host keeps its passwords.
type PasswordsState string

// The ways of keeping passwords. Absent may be on purpose: they can live in another store.
const (
	PlainPasswords     PasswordsState = "plain"
	EncryptedPasswords PasswordsState = "encrypted"
	AbsentPasswords    PasswordsState = "absent"
)

// Passwords is passwords.yml on the deploy host. It keeps no value in memory between calls.
type Passwords struct {
	Path string

	host host.Host
	open secret.Secret
}

// NewPasswords is passwords.yml in the configuration directory dir of the deploy host h; vault opens it when it is
// encrypted and may be empty.
func NewPasswords(h host.Host, dir string, vault secret.Secret) *Passwords {
	return &Passwords{Path: path.Join(dir, "passwords.yml"), host: h, open: vault}
}

// Keys returns the names in the file, sorted, and never a value. A file that is encrypted as a whole gives no names.
func (p *Passwords) Keys(ctx context.Context) (PasswordsState, []string, error) {
	there, err := exists(ctx, p.host, p.Path)
	if err != nil || !there {
		return AbsentPasswords, nil, err
	}
	text, err := readFile(ctx, p.host, p.Path)
	if err != nil {
		return "", nil, err
	}
	if isVault(text) {
		return EncryptedPasswords, nil, nil
	}
	values, err := p.parse(text)
	if err != nil {
		return "", nil, err
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	return PlainPasswords, names, nil
}

// Password returns the value of one key, opened with ansible-vault where the file or the value is encrypted.
func (p *Passwords) Password(ctx context.Context, key string) (secret.Secret, error) {
	there, err := exists(ctx, p.host, p.Path)
	if err != nil {
		return secret.Secret{}, err
	}
	if !there {
		return secret.Secret{}, p.trouble("use password.file or password.command where the passwords live in another store, "+
			"or write the file with kolla-readpwd", "%s is not there", p.Path)
	}
	text, err := readFile(ctx, p.host, p.Path)
	if err == nil && isVault(text) {
		text, err = p.decrypt(ctx, text)
	}
	if err != nil {
		return secret.Secret{}, err
	}
	values, err := p.parse(text)
	if err != nil {
		return secret.Secret{}, err
	}
	return p.value(ctx, key, values)
}

func (p *Passwords) value(ctx context.Context, key string, values map[string]any) (secret.Secret, error) {
	v, there := values[key]
	text, err := scalar(v)
	switch {
	case !there || text == "" && err == nil:
		return secret.Secret{}, p.trouble("name a key of the file, or give password.file or password.command",
			"key %s is not in %s", key, p.Path)
	case err != nil:
		return secret.Secret{}, p.trouble("name a key that holds one plain value", "key %s of %s %w", key, p.Path, err)
	case isVault([]byte(text)):
		clear, err := p.decrypt(ctx, []byte(text))
		return secret.New(string(clear)), err
	case templated(text):
		return secret.Secret{}, p.trouble("give password.file or password.command instead",
			"key %s of %s is a template that only Ansible can resolve", key, p.Path)
	}
	return secret.New(text), nil
}

// parse never quotes the text in its error, which holds secrets.
func (p *Passwords) parse(text []byte) (map[string]any, error) {
	var values map[string]any
	if yaml.Unmarshal(text, &values) != nil {
		return nil, p.trouble("correct the file: Kolla-Ansible cannot read it either", "%s is not YAML of keys and values", p.Path)
	}
	return values, nil
}

// decrypt opens what ansible-vault encrypted; neither the password nor the clear text touches a disk or an argument.
func (p *Passwords) decrypt(ctx context.Context, text []byte) ([]byte, error) {
	if p.open.Empty() {
		return nil, p.trouble("give kolla.vault_password as a file or a command in holdfast.yml",
			"%s is encrypted with ansible-vault and no password opens it", p.Path)
	}
	clear, stderr, err := ansible(ctx, p.host, host.Cmd{
		Args:   []string{"ansible-vault", "decrypt", "--output", "-", "--vault-password-file", host.SecretPath},
		Secret: p.open,
		Stdin:  bytes.NewReader(append(bytes.TrimSpace(text), '\n')),
	})
	if err != nil {
		return nil, p.trouble("check kolla.vault_password in holdfast.yml", "open %s with ansible-vault: %w", p.Path, explain(err, stderr))
	}
	return clear, nil
}

func (p *Passwords) trouble(hint, format string, args ...any) error {
	return &problem.Error{Kind: problem.Usage, Op: "read a password", Cause: fmt.Errorf(format, args...), Hint: hint}
}

// DatabasePasswordKeys are the keys of passwords.yml under which Kolla-Ansible keeps the password of a user of the database.
func DatabasePasswordKeys(user string) []string {
	switch {
	case user == "root", strings.HasPrefix(user, "root_shard_"):
		return []string{"database_password"}
	case user == "backup", strings.HasPrefix(user, "backup_shard_"):
		return []string{"mariadb_backup_database_password"}
	case user == "monitor":
		return []string{"mariadb_monitor_password"}
	case user == "mysqld_exporter", user == "prometheus":
		return []string{"prometheus_mysql_exporter_database_password"}
	}
	return []string{strings.ReplaceAll(user, "-", "_") + "_database_password"}
}

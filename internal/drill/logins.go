package drill

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"holdfast/internal/host"
	"holdfast/internal/point"
	"holdfast/internal/rows"
	"holdfast/internal/secret"
	"holdfast/internal/source/mariadb"
)

// Password is what a user logs in with today. One that may have been changed since the point was taken proves nothing when it is
// refused.
type Password struct {
	Secret  secret.Secret
	Changed time.Time // the last time that it may have been
}

// account is a user of the database at a host.
type account struct{ user, host string }

// What a login proved; see point.DrillLogin.
const (
	byPassword = "password"
	byAccount  = "account"
	refused    = "refused"
)

// accountsSQL lists the accounts that can be logged in to, with 1 for those that have something to do it with.
const accountsSQL = `SELECT User, Host, IF(Password<>'' OR authentication_string<>'' OR plugin NOT IN ('','mysql_native_password'),1,0)
FROM mysql.user WHERE User NOT IN ('','mariadb.sys','PUBLIC') AND Host<>'' ORDER BY User, Host`

// logIn makes sure that every account of the dump is there, and logs in with the passwords that are at hand. From then on the
// server knows those accounts alone.
func (p *part) logIn(files fs.FS) error {
	found, err := p.connect(p.admin).Query(p.ctx, accountsSQL)
	if err != nil {
		return cannot(err, "server", "mysql.user")
	}
	expected, err := accountsOf(p.ctx, files)
	if err != nil {
		return cannot(err, "copy", "mysql.global_priv")
	}
	have := map[account]bool{}
	for _, row := range found {
		if len(row) == 3 {
			have[account{row[0], row[1]}] = row[2] == "1"
		}
	}
	for a := range have {
		if expected == nil {
			expected = append(expected, a)
		}
	}
	if _, err := p.connect(p.admin).Query(p.ctx, "FLUSH PRIVILEGES"); err != nil {
		return cannot(err, "server", "privileges")
	}
	for _, a := range expected {
		armed, ok := have[a]
		if !ok {
			p.finds("account", a.String(), "the dump holds it, and it is missing here")
			continue
		}
		if err := p.tryAccount(a, armed); err != nil {
			return err
		}
	}
	return nil
}

func (a account) String() string { return "'" + a.user + "'@'" + a.host + "'" }

// tryAccount logs in to an account, if its password is at hand and if it may be used from where the server is.
func (p *part) tryAccount(a account, armed bool) error {
	login := point.DrillLogin{User: a.user, Host: a.host, Proof: byAccount}
	defer func() { p.result.Logins = append(p.result.Logins, login) }()
	known, ok := p.passwordOf(a)
	if !ok {
		if !armed {
			p.note("%s has no password", a)
		}
		return nil
	}
	_, err := p.connect(mariadb.Login{User: a.user, Password: known.Secret}).Query(p.ctx, "SELECT CURRENT_USER()")
	if err == nil {
		login.Proof = byPassword
		return nil
	}
	var exit *host.ExitError
	if !errors.As(err, &exit) || !strings.Contains(exit.Stderr, "Access denied") {
		return cannot(err, "account", a.String())
	}
	login.Proof = refused
	if known.Changed.After(p.component.Started) {
		p.note("%s does not log in with the password that it has today, which may have been changed since the point was taken", a)
		return nil
	}
	p.finds("account", a.String(), "it cannot log in with its password, which has not changed since the point was taken")
	return nil
}

// passwordOf finds the password of an account that can be used over the server's socket.
func (p *part) passwordOf(a account) (Password, bool) {
	if p.Password == nil || a.host != "%" && a.host != "localhost" {
		return Password{}, false
	}
	return p.Password(p.ctx, a.user)
}

// accountsOf lists the accounts that a dump holds, nil when it has no table of them.
func accountsOf(ctx context.Context, files fs.FS) (all []account, err error) {
	if files == nil {
		return nil, nil
	}
	err = rows.Copy{Files: files}.Read(ctx, "mysql", "global_priv", []string{"User", "Host"}, func(v []rows.Value) error {
		// A role has no host; what the server keeps for itself cannot be logged in to.
		if a := (account{v[0].Text, v[1].Text}); a.host != "" && !slices.Contains([]string{"", "mariadb.sys", "PUBLIC"}, a.user) {
			all = append(all, a)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

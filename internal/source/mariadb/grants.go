package mariadb

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Privileges that the tools need on *.*, found by leaving each out.
var (
	physicalPrivileges = []string{"RELOAD", "PROCESS", "BINLOG MONITOR"}
	logicalPrivileges  = []string{"SELECT", "SHOW VIEW", "TRIGGER", "EVENT"}
	desyncPrivileges   = []string{"SUPER"}
)

// synonyms are the names that other releases give to a privilege.
var synonyms = map[string]string{"REPLICATION CLIENT": "BINLOG MONITOR"}

// needed lists the privileges for physical copies, and for logical ones and desync if asked for.
func needed(logical, desync bool) []string {
	list := slices.Clone(physicalPrivileges)
	if logical {
		list = append(list, logicalPrivileges...)
	}
	if desync {
		list = append(list, desyncPrivileges...)
	}
	return list
}

// GrantSQL returns the statement that gives user, a name or 'name'@'host', all that its backups need.
func GrantSQL(user string, logical, desync bool) string {
	return grantSQL(needed(logical, desync), user)
}

func grantSQL(privileges []string, user string) string {
	if !strings.Contains(user, "@") {
		user = "'" + strings.ReplaceAll(user, "'", "''") + "'@'%'"
	}
	return fmt.Sprintf("GRANT %s ON *.* TO %s;", strings.Join(privileges, ", "), user)
}

// privileges reads the user's own privileges on *.*, and who the server takes it for, as 'name'@'host'.
func (s *session) privileges(ctx context.Context) (have []string, who string, err error) {
	rows, err := s.query(ctx, "SELECT CURRENT_USER(); SHOW GRANTS")
	if err != nil {
		return nil, "", err
	}
	for i, r := range rows {
		if i == 0 {
			name, at, _ := strings.Cut(r[0], "@")
			who = fmt.Sprintf("'%s'@'%s'", name, at)
			continue
		}
		have = append(have, parseGrant(r[0])...)
	}
	return have, who, nil
}

// parseGrant returns the privileges on *.* that a line of SHOW GRANTS gives.
func parseGrant(line string) []string {
	list, rest, ok := strings.Cut(strings.TrimPrefix(line, "GRANT "), " ON ")
	if !ok || !strings.HasPrefix(rest, "*.* ") {
		return nil
	}
	var privileges []string
	for p := range strings.SplitSeq(list, ",") {
		p = strings.TrimSpace(p)
		if same := synonyms[p]; same != "" {
			p = same
		}
		privileges = append(privileges, p)
	}
	return privileges
}

// missing lists what of want is not in have.
func missing(have, want []string) (lack []string) {
	if slices.Contains(have, "ALL PRIVILEGES") {
		return nil
	}
	for _, p := range want {
		if !slices.Contains(have, p) {
			lack = append(lack, p)
		}
	}
	return lack
}

package mariadb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/problem"
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

const grantsSQL = "SELECT CURRENT_USER(); SHOW GRANTS"

// privileges reads the user's own privileges on *.*, and who the server takes it for, as 'name'@'host'.
func (s *session) privileges(ctx context.Context) (have []string, who string, err error) {
	rows, err := s.query(ctx, grantsSQL)
	if err != nil {
		return nil, "", err
	}
	have, who = parseGrants(rows)
	return have, who, nil
}

// parseGrants reads the rows of grantsSQL among others: they alone have one column.
func parseGrants(rows [][]string) (have []string, who string) {
	for _, r := range rows {
		switch {
		case len(r) != 1:
		case strings.HasPrefix(r[0], "GRANT "):
			have = append(have, parseGrant(r[0])...)
		default:
			at := strings.LastIndexByte(r[0], '@')
			who = fmt.Sprintf("'%s'@'%s'", r[0][:max(at, 0)], r[0][at+1:])
		}
	}
	return have, who
}

// entitled looks at a server and refuses when the user lacks a privilege that the tool needs: mariadb-backup finds out
// late, after it has copied all, and mariadb-dump never does: it leaves out what it may not see and ends well.
func (s *session) entitled(ctx context.Context, tool string) (facts, error) {
	rows, err := s.query(ctx, factsSQL+"; "+grantsSQL)
	if err != nil {
		return facts{}, err
	}
	want := physicalPrivileges
	if tool == toolDump {
		want = logicalPrivileges
	}
	have, who := parseGrants(rows)
	if lack := missing(have, want); len(lack) > 0 {
		return facts{}, problem.New(problem.Failed, "run as an administrator: "+grantSQL(lack, who),
			"%s lacks the privileges %s for %s", who, strings.Join(lack, ", "), tool)
	}
	return parseFacts(rows), nil
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

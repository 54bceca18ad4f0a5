package mariadb

import (
	"context"
	"errors"
	"regexp"

	"holdfast/internal/host"
	"holdfast/internal/problem"
)

// remedies are the troubles that the tools name, and what to do about them. The first that matches is taken.
var remedies = []struct {
	text *regexp.Regexp
	hint string
}{
	{regexp.MustCompile(`(?i)missing required privilege|access denied; you need|command denied to user|\b1227\b|\b1142\b`),
		"give the backup user its privileges: " + GrantSQL("USER", true, false)},
	{regexp.MustCompile(`(?i)access denied for user|\b1045\b`),
		"check mariadb.user and mariadb.password in holdfast.yml against the server's users"},
	{regexp.MustCompile(`(?i)innodb_log_file_size|only able to copy log|log block checksum mismatch`),
		"the server wrote its redo log faster than it could be read, or this is not the server's own datadir: raise innodb_log_file_size, or give the vault a faster place"},
	{regexp.MustCompile(`(?i)wsrep has not yet prepared|\b1047\b`),
		"the node left the primary component of its cluster: look at wsrep_cluster_status on it, then take the backup again"},
	{regexp.MustCompile(`(?i)has gone away|lost connection|\b2013\b|\b2006\b|can't connect|connection refused|\b2002\b|\b2003\b`),
		"the server stopped or dropped the connection: look at its error log, then take the backup again"},
	{regexp.MustCompile(`(?i)table definition has changed|\b1412\b|table .* doesn't exist|\b1146\b`),
		"a schema change ran during the dump: take the backup again when no upgrade or migration runs"},
	{regexp.MustCompile(`(?i)deadlock found|\b1213\b|query execution was interrupted|\b1317\b`),
		"the cluster gave a schema change precedence over the dump: take the backup again when no upgrade or migration runs"},
	{regexp.MustCompile(`(?i)too many open files|errno: 24`),
		"raise the limit of open files of the node's container or service above its number of tables, or set open-files-limit for [mariadb-backup]"},
	{regexp.MustCompile(`(?i)no space left|errno: 28`), "make room on the node: mariadb-backup could not write there"},
	{regexp.MustCompile(`killed by signal`), "somebody, or the kernel for want of memory, killed it: look at the node's kernel log, then take the backup again"},
	{regexp.MustCompile(`(?i)unknown (option|variable)`), "an option file on the node holds an option that this version of the tool does not know: remove it there"},
	{regexp.MustCompile(`(?i)certificate|\bssl\b|\btls\b`), "check the server's certificate and the client's ssl options in the node's option files"},
}

// said is the failure of a command and the line of its stderr that tells most about it.
type said struct {
	error
	words string
}

// Error gives the command's words in the place of the last line of its stderr, which seldom tells most.
func (s said) Error() string {
	var exit *host.ExitError
	if !errors.As(s.error, &exit) {
		return s.error.Error()
	}
	bare := *exit
	bare.Stderr = s.words
	return bare.Error()
}

// Unwrap returns the failure alone.
func (s said) Unwrap() error { return s.error }

// explain makes err the operator's: what was done to which node, why that failed and what to do. A hint that err
// already has is kept.
func explain(err error, op, node string) *problem.Error {
	p := problem.Wrap(err, op, "mariadb on "+node)
	if p.Hint != "" || errors.Is(err, context.Canceled) {
		return p
	}
	var command said
	var exit *host.ExitError
	if !errors.As(err, &command) && !errors.As(err, &exit) {
		return p // not the server's or its tools' trouble
	}
	for _, r := range remedies {
		if r.text.MatchString(err.Error()) {
			p.Hint = r.hint
			return p
		}
	}
	p.Hint = "read the server's error log on " + node + " and take the backup again"
	return p
}

package ceph

import (
	"strings"
	"syscall"

	"holdfast/internal/cephcmd"
)

// judge tells from an answer whether there is such a thing.
func judge(a cephcmd.Answer) (State, string) {
	switch {
	case a.Err == 0:
		return Present, ""
	case a.Denied():
		return Denied, a.Said
	case a.Err == syscall.ENOENT || a.Err == syscall.EOPNOTSUPP:
		return Absent, said(a)
	case a.Err == syscall.EINVAL && strings.Contains(a.Said, "command not known"):
		return Absent, "this version of Ceph has no such command"
	}
	return Failed, said(a)
}

// said is the first line of what the cluster said.
func said(a cephcmd.Answer) string {
	line, _, _ := strings.Cut(a.Said, "\n")
	if line == "" {
		return a.Err.Error()
	}
	return line
}

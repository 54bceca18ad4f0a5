// Package host runs commands where the data lives: on this machine, over the system's ssh, inside a docker or podman
// container, or inside a container on an ssh host. Every command runs under one small POSIX shell supervisor that is
// sent along: it reads secrets from stdin, starts the command in its own session, kills the whole group when stdin
// ends, and reports the exit status in a trailer on stderr. A missing trailer is a failure, whatever the transport's
// own exit status says.
package host

import (
	"context"
	"io"

	"holdfast/internal/secret"
)

// SecretPath is where a command finds Cmd.Secret: an unlinked file in memory, open as descriptor 3 and readable as
// often as the command likes.
const SecretPath = "/dev/fd/3"

// Host is a place where commands run.
type Host interface {
	// String names the place for messages and manifests: "local", "ctl1", "ctl1/mariadb".
	String() string
	// Start begins a command. Cancelling ctx kills its whole process group at the far side.
	Start(ctx context.Context, c Cmd) (*Process, error)
}

// Cmd is a command to run. Args and Env are visible in the far side's process list and never hold secrets. The command is
// over when its first process is: what remains of its process group a second later is killed, and only what moved to a
// session of its own (setsid) stays.
type Cmd struct {
	Args []string // program and arguments, passed as they are, never through a shell
	Env  []string // KEY=VALUE, added to the far side's own; LC_ALL=C and TZ=UTC are always set
	Dir  string   // working directory, "" for the default
	Name string   // what messages call the command, "" for the program's name
	// Secret, if not empty, is the content of the file at SecretPath.
	Secret secret.Secret
	// Stdin feeds the command; nil means no input. The command sees the end of its input only
	// after Stdin returned io.EOF: when Stdin fails or the connection is cut, it is killed first.
	Stdin io.Reader
	// Bulk says that the command streams much, so that over ssh it deserves a connection of its own.
	Bulk bool
	// OnStderr gets each line the command writes to stderr, without the newline, as it comes.
	OnStderr func(line string)
}

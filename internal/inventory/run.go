package inventory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast/internal/host"
)

// maxStderr bounds what is kept of the warnings of Ansible's tools.
const maxStderr = 256 << 10

// ansible runs one of Ansible's tools. They refuse to start unless the locale is UTF-8.
func ansible(ctx context.Context, h host.Host, c host.Cmd) (stdout []byte, stderr string, err error) {
	var said strings.Builder
	c.Args = append([]string{"env", "LC_ALL=C.UTF-8"}, c.Args...)
	c.Env = append(c.Env, "ANSIBLE_NOCOLOR=1", "ANSIBLE_DEPRECATION_WARNINGS=0", "ANSIBLE_LOCALHOST_WARNING=0", "PYTHONWARNINGS=ignore")
	c.OnStderr = func(line string) {
		if said.Len() < maxStderr {
			said.WriteString(line + "\n")
		}
	}
	stdout, err = host.Output(ctx, h, c)
	return stdout, said.String(), err
}

// missing reports whether the program was not found.
func missing(err error) bool {
	var exit *host.ExitError
	return errors.As(err, &exit) && exit.Code == 127
}

// explain puts what Ansible calls its error in the place of an exit status.
func explain(err error, stderr string) error {
	var exit *host.ExitError
	if !errors.As(err, &exit) || exit.Code == 127 {
		return err
	}
	if _, said, ok := strings.Cut(stderr, "ERROR! "); ok {
		return errors.New(strings.Join(strings.Fields(said), " "))
	}
	return err
}

// readFile reads a file of h.
func readFile(ctx context.Context, h host.Host, name string) ([]byte, error) {
	text, err := host.Output(ctx, h, host.Cmd{Args: []string{"cat", "--", name}})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// listFiles returns the files of a directory of h whose name matches a glob, sorted; none if there is no directory.
func listFiles(ctx context.Context, h host.Host, dir, glob string) ([]string, error) {
	const script = `[ -d "$1" ] || exit 0
exec find -L "$1" -maxdepth 1 -type f -name "$2" -print0`
	out, err := host.Output(ctx, h, host.Cmd{Args: []string{"sh", "-c", script, "list", dir, glob}})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	return split(out), nil
}

func exists(ctx context.Context, h host.Host, name string) (bool, error) {
	const script = `[ -e "$1" ] && echo yes
exit 0`
	out, err := host.Output(ctx, h, host.Cmd{Args: []string{"sh", "-c", script, "exists", name}})
	return len(out) > 0, err
}

package cephcmd

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"regexp"
	"strconv"

	"holdfast/internal/host"
	"holdfast/internal/secret"
)

// LeastMigrate is the first release of Ceph whose images can be used while they come from a source outside the cluster.
const LeastMigrate = 16

var releasePattern = regexp.MustCompile(`^ceph version (\d+)\.`)

// Release is the major version of rbd and of the library that it uses.
func (c Cluster) Release(ctx context.Context) (int, error) {
	out, err := host.Output(ctx, c.On, host.Cmd{Args: []string{"rbd", "--version"}})
	if err != nil {
		return 0, c.explain(err, "rbd", []string{"--version"})
	}
	m := releasePattern.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("rbd --version printed no version that is known: %q", out)
	}
	return strconv.Atoi(string(m[1]))
}

// Monitors lists where the cluster's monitors listen, as HOST:PORT.
func (c Cluster) Monitors(ctx context.Context) ([]string, error) {
	var m struct {
		Monitors []struct {
			Public struct {
				Addresses []struct {
					Address string `json:"addr"`
				} `json:"addrvec"`
			} `json:"public_addrs"`
		} `json:"mons"`
	}
	if err := c.ask(ctx, &m, "mon dump"); err != nil {
		return nil, err
	}
	var all []string
	for _, mon := range m.Monitors {
		for _, a := range mon.Public.Addresses {
			if _, _, err := net.SplitHostPort(a.Address); err == nil {
				all = append(all, a.Address)
			}
		}
	}
	return all, nil
}

// Prepare makes an image that is used at once and gets its content from a source outside the cluster: a document of rbd
// that may name secrets.
func (c Cluster) Prepare(ctx context.Context, s Spec, shape Shape, source secret.Secret) error {
	args := append([]string{"migration", "prepare", "--import-only", "--source-spec-path", host.SecretPath}, shape.args()...)
	args = append(args, s.String())
	cmd := c.Command("rbd", args...)
	cmd.Secret = source
	return c.explain(host.Run(ctx, c.On, cmd), "rbd", args)
}

// IsCutOff reports whether a copy failed because the client that did the work went away: the one that holds the image's
// lock, because it writes, does it for all others.
func IsCutOff(err error) bool {
	switch exitCode(err) {
	case exitReadOnly, exitRestart, exitShutdown, exitTimeout:
		return true
	}
	return false
}

// IsFull reports whether a copy ended for want of room: other commands wait for it.
func IsFull(err error) bool { return exitCode(err) == exitNoSpace || exitCode(err) == exitQuota }

// Copy brings all content of a prepared image into the cluster. One that was cut off goes on.
func (c Cluster) Copy(ctx context.Context, s Spec) error {
	return c.Run(ctx, "rbd", "migration", "execute", "--no-progress", s.String())
}

// Commit makes an image whose content was copied one like any other.
func (c Cluster) Commit(ctx context.Context, s Spec) error {
	return c.Run(ctx, "rbd", "migration", "commit", "--no-progress", s.String())
}

// Abort removes a prepared image with what was written to it.
func (c Cluster) Abort(ctx context.Context, s Spec) error {
	return c.Run(ctx, "rbd", "migration", "abort", "--no-progress", s.String())
}

// PreparedFrom reports whether what an image says of its source holds some text, without opening the image: Ceph tries without end to open
// one whose prepare was killed. It reads the objects rbd_id.NAME, four bytes and the id, and rbd_header.ID, of which the value "migration"
// holds the source as text.
func (c Cluster) PreparedFrom(ctx context.Context, s Spec, text string) (bool, error) {
	id, err := c.Output(ctx, "rados", "--pool", s.Pool, "get", "rbd_id."+s.Image, "-")
	if err == nil && len(id) < 4 {
		err = fmt.Errorf("rbd_id.%s holds no id", s.Image)
	}
	if err != nil {
		return false, err
	}
	migration, err := c.Output(ctx, "rados", "--pool", s.Pool, "getomapval", "rbd_header."+string(id[4:]), "migration", "/dev/stdout")
	return bytes.Contains(migration, []byte(text)), err
}

// The states of a migration.
const (
	Prepared  = "prepared"
	Executing = "executing"
	Executed  = "executed"
)

// Migration is how far an image has come that is prepared from a source.
type Migration struct {
	ImageID string `json:"dest_image_id"`
	Source  string `json:"source_spec"`
	State   string `json:"state"`
	Text    string `json:"state_description"`
}

var percentPattern = regexp.MustCompile(`^(\d+)% `)

// Percent is how much was copied, 0 when that is not told.
func (m Migration) Percent() int64 {
	p := percentPattern.FindStringSubmatch(m.Text)
	if p == nil {
		return 0
	}
	n, _ := strconv.ParseInt(p[1], 10, 64) // digits
	return n
}

// Migration reads how far an image has come; nil for one that is like any other.
func (c Cluster) Migration(ctx context.Context, s Spec) (*Migration, error) {
	var status struct {
		Migration *Migration `json:"migration"`
	}
	err := c.briefly(ctx, &status, "status", s.String())
	return status.Migration, err
}

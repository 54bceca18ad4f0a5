package host_test

import (
	"io"
	"testing"

	"holdfast/internal/host"
)

// BenchmarkHosts measures what one command costs and how fast a stream of 256 MiB comes, over every kind of host.
func BenchmarkHosts(b *testing.B) {
	d := startDocker(b)
	s := startSSHD(b)
	remote := s.host(b, "id", "known")
	d.up(b, "mariadb")
	for name, h := range map[string]host.Host{
		"local": host.Local{}, "ssh": remote,
		"exec": d.container(host.Local{}, "mariadb", host.EnterExec), "nsenter": d.container(host.Local{}, "mariadb", host.EnterNsenter),
		"exec-over-ssh": d.container(remote, "mariadb", host.EnterExec), "nsenter-over-ssh": d.container(remote, "mariadb", host.EnterNsenter),
		"ssh-aes128-gcm": with(remote, "-o", "Ciphers=aes128-gcm@openssh.com"),
	} {
		b.Run("command/"+name, func(b *testing.B) {
			for b.Loop() {
				must(b, host.Run(b.Context(), h, host.Cmd{Args: []string{"true"}}))
			}
		})
		b.Run("stream/"+name, func(b *testing.B) {
			const size = 256 << 20
			b.SetBytes(size)
			for b.Loop() {
				must(b, host.Stream(b.Context(), h, host.Cmd{Args: []string{"head", "-c", "268435456", "/dev/zero"}}, func(r io.Reader) error {
					_, err := io.Copy(io.Discard, r)
					return err
				}))
			}
		})
	}
}

func with(s host.SSH, args ...string) host.SSH {
	s.Args = append(args, s.Args...)
	return s
}

package s3

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Ceph's gateway sends an answer in two segments, and the second only when the first is acknowledged, which Linux puts off for 40 ms.
// A connection that acknowledges at once makes a small request ten times as fast.
type quickConn struct {
	net.Conn
	raw syscall.RawConn
}

// Dial connects to a store, so that what is received is acknowledged at once.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn, nil
	}
	return &quickConn{conn, raw}, nil
}

// acknowledge asks for it each time: the kernel goes back to waiting by itself. That it cannot is no harm.
func (c *quickConn) acknowledge() {
	_ = c.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
}

func (c *quickConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.acknowledge()
	return n, err
}

func (c *quickConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.acknowledge()
	return n, err
}

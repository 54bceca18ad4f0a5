package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Blocks of ports lie below the range that the kernel gives to outgoing connections.
const (
	firstPort = 20000
	lastPort  = 32600
	blockSize = 200
)

// reservePorts finds a block of blockSize free ports and locks it against other labs. The lock holds as long as the
// returned file or an inherited copy of it is open.
func reservePorts() (int, *os.File, error) {
	dir := filepath.Join(os.TempDir(), "holdfast-lab-ports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, nil, fmt.Errorf("create port locks: %w", err)
	}
	for base := firstPort; base+blockSize <= lastPort; base += blockSize {
		f, err := lockBlock(dir, base)
		if err != nil {
			return 0, nil, err
		}
		if f == nil {
			continue
		}
		if blockFree(base) {
			return base, f, nil
		}
		f.Close()
	}
	return 0, nil, errors.New("no free block of ports left: too many labs are up")
}

// lockBlock returns nil when another lab has the block.
func lockBlock(dir string, base int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(base)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open port lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, nil
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock ports: %w", err)
	}
	return f, nil
}

// blockFree reports whether nobody outside the labs listens on one of the block's ports.
func blockFree(base int) bool {
	for port := base; port < base+blockSize; port++ {
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		ln.Close()
	}
	return true
}

package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A shared connection saves each short command the exchange of keys, which costs both ends more than most commands do.
const (
	shareIdle  = "15"             // seconds that a shared connection outlives its last command
	shareRetry = 30 * time.Second // how long a host that gave none is not asked again
	shareLimit = 20 * time.Second
)

// sharing remembers by socket what was tried. Whoever gets "" connects alone, and then sees what is wrong.
var sharing struct {
	sync.Mutex
	sockets map[string]*sharedSocket
}

type sharedSocket struct {
	sync.Mutex
	refused time.Time
}

// shared returns the control socket of a connection that the ssh command line argv, still without its host, would make
// to addr, and makes the connection if there is none; "" when it cannot be shared. The socket's name depends on the
// whole command line, so that commands with another key or another user never meet.
func shared(argv []string, addr string) string {
	dir := shareDir()
	if dir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(append(argv, addr), "\x00")))
	path := filepath.Join(dir, hex.EncodeToString(sum[:8]))
	s := socketAt(path)
	s.Lock()
	defer s.Unlock()
	if answers(path) {
		return path
	}
	if time.Since(s.refused) < shareRetry {
		return ""
	}
	if err := connect(argv, addr, path); err != nil {
		s.refused = time.Now()
		return ""
	}
	return path
}

func socketAt(path string) *sharedSocket {
	sharing.Lock()
	defer sharing.Unlock()
	if sharing.sockets == nil {
		sharing.sockets = map[string]*sharedSocket{}
	}
	s := sharing.sockets[path]
	if s == nil {
		s = &sharedSocket{}
		sharing.sockets[path] = s
	}
	return s
}

func answers(path string) bool {
	c, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// connect starts the process that holds the connection; it ends by itself when it was idle for shareIdle.
func connect(argv []string, addr, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), shareLimit)
	defer cancel()
	args := append(append([]string{}, argv[1:]...),
		"-o", "ControlMaster=yes", "-o", "ControlPath="+path, "-o", "ControlPersist="+shareIdle, "-N", "-f", "--", addr)
	cmd := exec.CommandContext(ctx, argv[0], args...)
	// A session of its own: an interrupt at the terminal is for the commands, which then end in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Run()
}

// shareDir is a directory that nobody else can enter, "" where there is none.
var shareDir = sync.OnceValue(func() string {
	base := "/run"
	if os.Geteuid() != 0 {
		if base = os.Getenv("XDG_RUNTIME_DIR"); base == "" {
			return ""
		}
	}
	dir := filepath.Join(base, "holdfast", "ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	st, err := os.Lstat(dir)
	if err != nil || !st.IsDir() || st.Mode().Perm() != 0o700 {
		return ""
	}
	if owner, ok := st.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
		return ""
	}
	return dir
})

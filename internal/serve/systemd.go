package serve

import (
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier returns what tells systemd of the daemon's state, and how often it wants to hear that all is well. Without systemd both
// are nothing.
func Notifier(getenv func(string) string) (notify func(string), watchdog time.Duration) {
	address := getenv("NOTIFY_SOCKET")
	if address == "" {
		return func(string) {}, 0
	}
	if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil {
		if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
			watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return func(state string) {
		c, err := net.Dial("unixgram", address)
		if err != nil {
			return // systemd tells the operator that it did not hear
		}
		defer c.Close()
		c.Write([]byte(state))
	}, watchdog
}

// monotonic is the clock that systemd compares reloads by, in microseconds.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano() / 1000
}

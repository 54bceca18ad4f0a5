package nbd

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/stream"
)

// serve starts the real qemu-nbd over a file, which ends with the first client that opened it.
func serve(t *testing.T, file string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	cmd := exec.Command("qemu-nbd", "--read-only", "--format", "raw", "--socket", socket, file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("qemu-nbd did not end with its client")
			_ = cmd.Process.Kill()
		}
	})
	return socket
}

func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func content(t *testing.T, size int) (string, []byte) {
	t.Helper()
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data)
	name := filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, data
}

func TestRead(t *testing.T) {
	name, data := content(t, 9<<20)
	conn := dial(t, serve(t, name))
	c, err := New(conn, conn, "")
	if err != nil || c.Size() != 9<<20 {
		t.Fatalf("%v: %+v", err, c)
	}
	ranges := []stream.Extent{{Offset: 5 << 20, Length: 4 << 20}, {Offset: 0, Length: 1}, {Offset: 77, Length: 513}, {Offset: 9<<20 - 1, Length: 1}, {Offset: 1 << 20, Length: 1 << 20}}
	seen := map[int]bool{}
	err = c.Read(ranges, func(n int, got []byte) error {
		if e := ranges[n]; !bytes.Equal(got, data[e.Offset:e.End()]) {
			t.Errorf("other bytes at %d", e.Offset)
		}
		seen[n] = true
		return nil
	})
	if err != nil || len(seen) != len(ranges) {
		t.Fatalf("%v: %v", err, seen)
	}
	enough := errors.New("enough")
	if err := c.Read(ranges[1:2], func(int, []byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if err := c.Read([]stream.Extent{{Offset: 9<<20 - 1, Length: 2}}, nil); err == nil {
		t.Error("read beyond the end")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestNoSuchExport(t *testing.T) {
	name, _ := content(t, 1<<20)
	socket := serve(t, name)
	conn := dial(t, socket)
	if _, err := New(conn, conn, "another"); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an export that is none: %v", err)
	}
	_ = conn.Close()
	conn = dial(t, socket)
	c, err := New(conn, conn, "")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

// recorded is what qemu-nbd says to a client that opens an image of 1 MiB and reads two ranges.
func recorded(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	put(&b, uint64(magic), uint64(optionMagic), uint16(3))
	put(&b, uint64(answerMagic), uint32(optGo), uint32(repInfo), uint32(12), uint16(infoExport), uint64(1<<20), uint16(0x8f))
	put(&b, uint64(answerMagic), uint32(optGo), uint32(repAck), uint32(0))
	put(&b, uint32(replyMagic), uint32(0), uint64(1))
	b.WriteString("world")
	put(&b, uint32(replyMagic), uint32(0), uint64(0))
	b.WriteString("hi")
	return b.Bytes()
}

func replay(said []byte) (map[int]string, error) {
	got := map[int]string{}
	c, err := New(bytes.NewReader(said), io.Discard, "")
	if err != nil {
		return got, err
	}
	return got, c.Read([]stream.Extent{{Offset: 0, Length: 2}, {Offset: 9, Length: 5}}, func(n int, data []byte) error {
		got[n] = string(data)
		return nil
	})
}

// TestCutOff: at whatever byte the server falls silent, it is seen.
func TestCutOff(t *testing.T) {
	said := recorded(t)
	if got, err := replay(said); err != nil || got[0] != "hi" || got[1] != "world" {
		t.Fatalf("%v: %v", err, got)
	}
	for n := range len(said) {
		if _, err := replay(said[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func FuzzServer(f *testing.F) {
	f.Add(recorded(f))
	f.Fuzz(func(t *testing.T, said []byte) {
		if got, err := replay(said); err == nil && (len(got) != 2 || len(got[0]) != 2 || len(got[1]) != 5) {
			t.Errorf("took %v", got)
		}
	})
}

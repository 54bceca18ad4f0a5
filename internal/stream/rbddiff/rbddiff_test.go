package rbddiff

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// part is an extent with its bytes.
type part struct {
	Extent
	Data string
}

// write makes a stream of parts.
func write(t testing.TB, h Header, parts ...part) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if err := w.Next(p.Extent); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read takes a stream apart.
func read(stream io.Reader) (Header, []part, error) {
	r, err := NewReader(stream)
	if err != nil {
		return Header{}, nil, err
	}
	var parts []part
	for {
		e, err := r.Next()
		if err == io.EOF {
			return r.Header(), parts, nil
		}
		if err != nil {
			return r.Header(), parts, err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return r.Header(), parts, err
		}
		parts = append(parts, part{e, string(data)})
	}
}

var (
	header = Header{From: "yesterday", To: "today", Size: 1 << 40}
	parts  = []part{
		{Extent{Offset: 0, Length: 3}, "abc"},
		{Extent{Offset: 3, Length: 5, Zero: true}, ""},
		{Extent{Offset: 4096, Length: 4}, "\x00xyz"},
		{Extent{Offset: 1<<40 - 2, Length: 2}, "no"},
	}
)

func TestRoundTrip(t *testing.T) {
	for _, h := range []Header{header, {Size: 1 << 40}, {To: "first", Size: 1 << 40}} {
		got, extents, err := read(bytes.NewReader(write(t, h, parts...)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h, got); diff != "" {
			t.Errorf("header (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(parts, extents); diff != "" {
			t.Errorf("extents (-want +got):\n%s", diff)
		}
	}
}

// TestBytes fixes the format, as rbd writes it.
func TestBytes(t *testing.T) {
	want := "rbd diff v1\n" +
		"f\x02\x00\x00\x00s1" + "t\x02\x00\x00\x00s2" + "s\x00\x00\x00\x04\x00\x00\x00\x00" +
		"w\x00\x80\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00UUUU" +
		"z\x00\x00\x80\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00" + "e"
	got := write(t, Header{"s1", "s2", 64 << 20},
		part{Extent{Offset: 0x8000, Length: 4}, "UUUU"}, part{Extent{Offset: 8 << 20, Length: 4096, Zero: true}, ""})
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
}

// TestUnread passes over the bytes that nobody asked for.
func TestUnread(t *testing.T) {
	r, err := NewReader(bytes.NewReader(write(t, header, parts...)))
	if err != nil {
		t.Fatal(err)
	}
	var got []Extent
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
		if _, err := r.Read(make([]byte, 1)); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	if len(got) != len(parts) || got[3] != parts[3].Extent {
		t.Errorf("extents are %v", got)
	}
}

// TestCut cuts a stream at every byte: none of the pieces passes for whole.
func TestCut(t *testing.T) {
	whole := write(t, header, parts...)
	for n := range whole {
		_, _, err := read(bytes.NewReader(whole[:n]))
		var at *Error
		if !errors.As(err, &at) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", n, err)
		} else if at.Offset > int64(n) {
			t.Errorf("cut after %d bytes, the error says %d", n, at.Offset)
		}
	}
}

func TestBroken(t *testing.T) {
	const head = banner + "s\x00\x10\x00\x00\x00\x00\x00\x00" // 4096 bytes
	extent := func(tag string, at, length byte) string {
		return tag + string([]byte{0, at, 0, 0, 0, 0, 0, 0}) + string([]byte{0, length, 0, 0, 0, 0, 0, 0})
	}
	for _, c := range []struct{ name, stream, says string }{
		{"another format", "rbd diff v2\ns", "not the beginning"},
		{"no size", banner + "e", `record 'e' where the image's size must come`},
		{"names in the wrong order", banner + "t\x01\x00\x00\x00af\x01\x00\x00\x00b", `record 'f'`},
		{"a name twice", banner + "f\x01\x00\x00\x00af\x01\x00\x00\x00b", `record 'f'`},
		{"an endless name", banner + "f\xff\xff\xff\xffa", "4294967295 bytes"},
		{"an empty name", banner + "t\x00\x00\x00\x00", "0 bytes"},
		{"a negative size", banner + "s\x00\x00\x00\x00\x00\x00\x00\x80", "too large"},
		{"size twice", head + "s\x00\x10\x00\x00\x00\x00\x00\x00e", `record 's'`},
		{"unknown record", head + "q", `record 'q'`},
		{"empty extent", head + extent("z", 1, 0) + "e", "is empty"},
		{"beyond the end", head + extent("z", 16, 1) + "e", "in an image of 4096"},
		{"over the end", head + extent("z", 15, 2) + "e", "in an image of 4096"},
		{"out of order", head + extent("z", 4, 1) + extent("z", 2, 1) + "e", "extent at 512 comes after one that ends at 1280"},
		{"overlapping", head + extent("z", 2, 4) + extent("z", 5, 1) + "e", "comes after one that ends"},
		{"a length that overflows", head + "z\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7fe", "in an image of 4096"},
		{"trailing bytes", head + "ee", "follows the end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := read(strings.NewReader(c.stream))
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "read rbd diff at byte ") {
				t.Errorf("error is %v, want %q", err, c.says)
			}
		})
	}
}

// TestFailureStays reads on after an error and gets the same one.
func TestFailureStays(t *testing.T) {
	r, err := NewReader(strings.NewReader(banner + "s\x00\x10\x00\x00\x00\x00\x00\x00q"))
	if err != nil {
		t.Fatal(err)
	}
	_, first := r.Next()
	_, second := r.Next()
	if _, third := r.Read(make([]byte, 1)); first == nil || second != first || third != first {
		t.Errorf("errors are %v, %v, %v", first, second, third)
	}
}

func TestWriterRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w *Writer) error
	}{
		{"an extent while bytes are missing", func(w *Writer) error {
			return errors.Join(w.Next(Extent{Length: 1}), must(w.Next(Extent{Offset: 1, Length: 1})))
		}},
		{"an end while bytes are missing", func(w *Writer) error {
			return errors.Join(w.Next(Extent{Length: 1}), must(w.Close()))
		}},
		{"too many bytes", func(w *Writer) error {
			_, err := w.Write([]byte("x"))
			return must(err)
		}},
		{"an extent beyond the image", func(w *Writer) error { return must(w.Next(Extent{Offset: 10, Length: 1})) }},
		{"an earlier extent", func(w *Writer) error {
			return errors.Join(w.Next(Extent{Offset: 5, Length: 1, Zero: true}), must(w.Next(Extent{Offset: 5, Length: 1})))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, err := NewWriter(io.Discard, Header{Size: 10})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.do(w); err != nil {
				t.Error(err)
			}
		})
	}
}

// must turns a refusal into success and success into a complaint.
func must(refusal error) error {
	if refusal == nil {
		return errors.New("it was not refused")
	}
	return nil
}

// FuzzReader reads anything: it never panics, never returns an extent outside of the image or before an earlier one, and
// what it reads to the end is what a writer makes of it.
func FuzzReader(f *testing.F) {
	f.Add(write(f, header, parts...))
	f.Add(write(f, Header{Size: 0}))
	f.Add([]byte(banner))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, parts, err := read(bytes.NewReader(data))
		end := int64(0)
		for _, p := range parts {
			if p.Offset < end || p.Length <= 0 || p.End() > h.Size {
				t.Fatalf("extent %+v after %d in an image of %d", p.Extent, end, h.Size)
			}
			end = p.End()
		}
		if err != nil {
			return
		}
		if again := write(t, h, parts...); !bytes.Equal(again, data) {
			t.Errorf("read %q, written again %q", data, again)
		}
	})
}

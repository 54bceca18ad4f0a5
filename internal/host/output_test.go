package host

import (
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestOutput cuts a marked stream into any pieces, and off at any byte.
func TestOutput(t *testing.T) {
	const nonce = "N"
	mark := "\x1eholdfast N end\n"
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"a", "\n", "\x1e", "\x1eholdfast ", "\x1eholdfast M end\n", mark[:len(mark)-1] + "x"})
		data := ""
		for _, p := range rapid.SliceOfN(piece, 0, 8).Draw(t, "data") {
			data += p
		}
		sent := data + mark
		cut := rapid.IntRange(0, len(sent)).Draw(t, "cut")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		size := rapid.IntRange(1, 20).Draw(t, "size")
		go func() {
			defer w.Close()
			for rest := sent[:cut]; rest != ""; rest = rest[min(size, len(rest)):] {
				_, _ = w.WriteString(rest[:min(size, len(rest))])
			}
		}()
		o := newOutput(r, nonce)
		got, err := io.ReadAll(o)
		want, wantErr := data[:min(cut, len(data))], error(nil)
		if cut < len(sent) {
			want, wantErr = sent[:cut], io.ErrUnexpectedEOF
		}
		if d := cmp.Diff(want, string(got)); d != "" || err != wantErr || o.whole() != (wantErr == nil) {
			t.Fatalf("cut at %d of %d: error %v, whole %v (-want +got)\n%s", cut, len(sent), err, o.whole(), d)
		}
	})
}

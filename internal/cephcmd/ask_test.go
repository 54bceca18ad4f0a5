package cephcmd

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const answered = "{\"code\": 0, \"size\": 5, \"said\": \"got it\\n\"}\na\nb\x00c\n{\"code\": 13, \"size\": 0, \"said\": \"access denied\"}\n\n{\"end\": 2}\n"

func TestAnswers(t *testing.T) {
	got, err := readAnswers(bufio.NewReader(strings.NewReader(answered)), 2)
	want := []Answer{{Body: []byte("a\nb\x00c"), Said: "got it"}, {Body: []byte{}, Said: "access denied", Err: syscall.EACCES}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	if got[0].Denied() || !got[1].Denied() {
		t.Error("who was denied is not known")
	}
}

// TestAnswersCutOff: at whatever byte they end, it is seen.
func TestAnswersCutOff(t *testing.T) {
	for n := range len(answered) {
		if got, err := readAnswers(bufio.NewReader(strings.NewReader(answered[:n])), 2); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v, %v", n, got, err)
		}
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for _, text := range []string{"no JSON\n", "{\"end\": 1}\n", "{\"end\": 2}\n", "{\"code\": 0, \"size\": -1}\n", "{\"code\": 0, \"size\": 9999999999}\n"} {
		if got, err := readAnswers(bufio.NewReader(strings.NewReader(text)), 2); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}

package cli

import (
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// Env is the world outside: a test gives its own.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	// IsTerminal reports whether one of the three streams is a terminal.
	IsTerminal func(stream any) bool
	// Size is the width and height in cells of the terminal that stderr is, 0 when it is none.
	Size func() (width, height int)
	Now  func() time.Time
}

// SystemEnv is the world of this process.
func SystemEnv() Env {
	return Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv:     os.Getenv,
		IsTerminal: isTerminal,
		Size:       func() (width, height int) { return sizeOf(os.Stderr) },
		Now:        time.Now,
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func sizeOf(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

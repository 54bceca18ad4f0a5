package secret

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"holdfast/internal/problem"
)

// Prompt asks a person on a terminal, without echo.
type Prompt struct {
	Terminal *os.File  // where the answer is typed
	Out      io.Writer // where the question is shown, never stdout
	Confirm  bool      // ask twice: the secret is being made, and a slip would lock the vault for good
}

// Ask asks for what until the answer is not empty and, with Confirm, the same twice. When ctx ends it returns at once
// with the terminal as it was.
func (p *Prompt) Ask(ctx context.Context, what string) (Secret, error) {
	first, err := p.read(ctx, what+": ")
	if err != nil || !p.Confirm {
		return first, err
	}
	second, err := p.read(ctx, "the same again: ")
	if err != nil {
		return Secret{}, err
	}
	if first != second {
		return Secret{}, problem.New(problem.Usage, "try again", "the two answers differ")
	}
	return first, nil
}

func (p *Prompt) read(ctx context.Context, question string) (Secret, error) {
	fd := int(p.Terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return Secret{}, fmt.Errorf("read terminal: %w", err)
	}
	fmt.Fprint(p.Out, question)
	defer fmt.Fprintln(p.Out)
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // a read of a terminal cannot be cancelled: it is left behind when ctx ends
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return Secret{}, errJoinRestore(ctx.Err(), term.Restore(fd, before))
	case a := <-answers:
		if a.err != nil {
			return Secret{}, fmt.Errorf("read terminal: %w", a.err)
		}
		if len(a.text) == 0 {
			return Secret{}, problem.New(problem.Usage, "try again", "the answer is empty")
		}
		return New(string(a.text)), nil
	}
}

// errJoinRestore keeps the cancellation in front: it decides the exit code.
func errJoinRestore(cancelled, restore error) error {
	if restore != nil {
		return fmt.Errorf("%w (restore terminal: %w)", cancelled, restore)
	}
	return cancelled
}

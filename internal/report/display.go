package report

import (
	"io"
	"sync"
	"time"

	"holdfast/internal/event"
)

// Display tells a run while it goes on. Listen may be called from several goroutines at once and returns at once.
type Display interface {
	Listen(event.Event)
	// Say tells the operator one line beside the progress, above the bars where there are any.
	Say(text string)
	// Close ends the display and leaves the terminal as it was; it may be called more than once.
	Close()
	// Lines are the components so far, for a closing table.
	Lines() []Line
}

// Mode is how a display tells.
type Mode int

// The modes. Quiet tells only what Say is given.
const (
	Plain Mode = iota
	Live
	JSON
	Quiet
)

// Options say where and how a display writes.
type Options struct {
	Mode Mode
	Out  io.Writer
	// Color allows colours; Plain and JSON have none.
	Color bool
	// Size is the width and height of the terminal in cells; 0 when unknown. Live only.
	Size func() (width, height int)
	// Now is the clock.
	Now func() time.Time
}

// New starts a display.
func New(o Options) Display {
	base := base{out: o.Out, board: newBoard(), now: o.Now}
	switch o.Mode {
	case Live:
		return startLive(&base, o)
	case JSON:
		return &jsonLines{base: &base}
	case Quiet:
		return &quiet{&base}
	}
	return &plain{base: &base, told: map[*row]time.Time{}}
}

// base is what all displays share. The mutex guards everything in a display, its output too.
type base struct {
	sync.Mutex
	out   io.Writer
	board *board
	now   func() time.Time
}

// Lines implements Display.
func (b *base) Lines() []Line {
	b.Lock()
	defer b.Unlock()
	return b.board.lines()
}

// Close implements Display.
func (b *base) Close() {}

// stamp gives an event the time when it came, if it has none.
func (b *base) stamp(e event.Event) event.Event {
	if e.Time.IsZero() {
		e.Time = b.now()
	}
	return e
}

func (b *base) say(text string) { io.WriteString(b.out, clean(text)+"\n") }

// quiet keeps the board and shows nothing of it.
type quiet struct{ *base }

// Listen implements Display.
func (q *quiet) Listen(e event.Event) {
	q.Lock()
	defer q.Unlock()
	q.board.apply(q.stamp(e))
}

// Say implements Display.
func (q *quiet) Say(text string) {
	q.Lock()
	defer q.Unlock()
	q.say(text)
}

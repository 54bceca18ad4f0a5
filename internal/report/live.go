package report

import (
	"fmt"
	"strings"
	"time"

	"holdfast/internal/event"
)

// redraw is how often the bars are drawn anew, at most.
const redraw = 100 * time.Millisecond

// live draws bars at the bottom of a terminal. Events change the board alone; one goroutine draws it. Each frame is
// one write that goes up over the last one. The cursor is never hidden and no terminal mode is changed, so that even a
// kill leaves a terminal that works.
type live struct {
	*base
	color bool
	size  func() (width, height int)
	drawn []string // lines of the last frame, above the cursor
	above []string
	dirty bool
	ended bool
	stop  chan struct{}
	done  chan struct{}
}

func startLive(b *base, o Options) *live {
	l := &live{base: b, color: o.Color, size: o.Size, stop: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *live) run() {
	defer close(l.done)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			l.Lock()
			if l.dirty || n%10 == 0 { // the clock and the rates go on without events
				l.draw()
			}
			l.Unlock()
		}
	}
}

// Listen implements Display.
func (l *live) Listen(e event.Event) {
	l.Lock()
	defer l.Unlock()
	e = l.stamp(e)
	l.board.apply(e)
	l.dirty = true
	if text := notice(e); text != "" {
		l.above = append(l.above, text)
	}
}

// notice is the line that stays on the screen for an event, or "": notes, and what did not go well.
func notice(e event.Event) string {
	what := (&row{source: e.Source, name: e.Component}).label()
	switch {
	case e.Kind == event.Note && what != "":
		return what + ": " + e.Text
	case e.Kind == event.Note:
		return e.Text
	case e.Kind == event.Finished && e.State != "good" && e.Text != "":
		return what + ": " + e.State + ": " + e.Text
	}
	return ""
}

// Say implements Display.
func (l *live) Say(text string) {
	l.Lock()
	defer l.Unlock()
	if l.ended {
		l.say(text)
		return
	}
	l.above = append(l.above, text)
	l.draw()
}

// Close implements Display: the last frame stays.
func (l *live) Close() {
	l.Lock()
	if !l.ended {
		l.draw()
		l.ended = true
		close(l.stop)
	}
	l.Unlock()
	<-l.done
}

// draw replaces the last frame by what was said since and the board as it is.
func (l *live) draw() {
	width, height := l.size()
	if width <= 0 {
		width = 80
	}
	if height <= 0 {
		height = 24
	}
	var b strings.Builder
	if up := l.rowsUp(width); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", up)
	}
	for _, text := range l.above {
		b.WriteString(clean(text) + "\n")
	}
	l.above, l.drawn, l.dirty = nil, nil, false
	if len(l.board.rows) > 0 {
		l.drawn = l.board.frame(look{width, height, l.color, l.now()})
		b.WriteString(strings.Join(l.drawn, "\n") + "\n")
	}
	if b.Len() > 0 {
		l.out.Write([]byte(b.String()))
	}
}

// rowsUp is how many rows of the screen the last frame takes now: a terminal that became narrower has wrapped it.
func (l *live) rowsUp(width int) int {
	n := 0
	for _, line := range l.drawn {
		n += max((Width(colors.Replace(line))+width-1)/width, 1)
	}
	return n
}
